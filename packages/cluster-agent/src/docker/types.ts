/** The parts of the Engine API's JSON (version 1.41 and later) that the agent reads or writes; names are Docker's. */
export interface EngineInfo {
  Name: string
  NCPU: number
  MemTotal: number
  OperatingSystem: string
  Architecture: string
  ServerVersion: string
  Swarm: {
    NodeID: string
    NodeAddr: string
    LocalNodeState: 'inactive' | 'pending' | 'active' | 'error' | 'locked'
    ControlAvailable: boolean
    Error: string
    Cluster?: { ID: string } | null
  }
}

export interface SwarmNode {
  ID: string
  Spec: { Role: 'manager' | 'worker'; Availability: string }
  Description: { Hostname: string }
  Status: { State: string; Addr?: string }
  ManagerStatus?: { Leader?: boolean } | null
}

export interface SwarmService {
  ID: string
  Version: { Index: number }
  Spec: ServiceSpec
}

export interface ServiceSpec {
  Name: string
  Labels: Record<string, string>
  TaskTemplate: TaskTemplate
  Mode: { Replicated?: { Replicas?: number }; Global?: Record<string, never> }
  EndpointSpec?: { Mode?: string; Ports?: PortConfig[] | null } | undefined
}

export interface TaskTemplate {
  ContainerSpec: ContainerSpec
  Resources?: { Limits?: { NanoCPUs?: number; MemoryBytes?: number }; Reservations?: unknown } | undefined
  RestartPolicy?: { Condition?: string; Delay?: number; MaxAttempts?: number } | undefined
  Placement?: { MaxReplicas?: number; Constraints?: string[] | null } | undefined
  Networks?: { Target: string; Aliases?: string[] }[] | null
  ForceUpdate?: number
}

export interface ContainerSpec {
  Image: string
  Labels?: Record<string, string> | null
  Command?: string[] | null | undefined
  Args?: string[] | null | undefined
  Env?: string[] | null | undefined
  Mounts?: Mount[] | null | undefined
  StopGracePeriod?: number | undefined
  Healthcheck?: Healthcheck | null | undefined
}

export interface Mount {
  Type: string
  Source: string
  Target: string
  ReadOnly?: boolean
  VolumeOptions?: { Labels?: Record<string, string> | null }
}

/** Durations in nanoseconds. */
export interface Healthcheck {
  Test?: string[]
  Interval?: number
  Timeout?: number
  Retries?: number
  StartPeriod?: number
}

export interface PortConfig {
  Protocol?: string
  TargetPort?: number
  PublishedPort?: number
  PublishMode?: string
}

export interface SwarmTask {
  ID: string
  ServiceID: string
  NodeID?: string
  Slot?: number
  DesiredState: string
  Spec: { ContainerSpec?: { Labels?: Record<string, string> | null } | null }
  Status: {
    Timestamp: string
    State: string
    Message?: string
    Err?: string
    ContainerStatus?: { ContainerID?: string; ExitCode?: number } | null
  }
}

export interface SwarmNetwork {
  Id: string
  Name: string
  Driver: string
  Scope: string
  Attachable: boolean
  Labels: Record<string, string> | null
}

export interface EngineEvent {
  Type: string
  Action: string
  Actor?: { ID?: string; Attributes?: Record<string, string> | null }
}

export interface EngineLogLine {
  /** RFC 3339 with nanoseconds. */
  at: string
  stream: 'stdout' | 'stderr'
  /** Only in logs of a service. */
  taskId: string
  nodeId: string
  line: string
}
