/**
 * Node's HTTP module. Importing it by name would read every export, one of which loads Node's own WebSocket and fetch
 * client: 12 MB that an agent at rest would keep for nothing.
 */
export const { Agent, request } = process.getBuiltinModule('node:http')
