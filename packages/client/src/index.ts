/**
 * The typed API client, for browsers and Node: one function for each route of the contract, by noun and verb.
 * Answers are trusted as the contract says and not checked again (the server checks them; doing it twice would cost
 * every page of every browser); errors are read with care, because they may come from whatever stands in between.
 * No retries of requests here: only the change feed reconnects by itself.
 */
export { type Client, type ClientOptions, createClient } from './client.ts'
export { ApiError, isAbort } from './errors.ts'
export type { Call, ConnectionState, Input, Output, Streamed, WatchInput } from './types.ts'
export { type Hasher, type UploadOptions, type UploadSource, uploadResumably } from './upload.ts'
