/** As Debian names them. */
export type AgentArchitecture = 'amd64' | 'arm64'
