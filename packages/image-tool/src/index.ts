/**
 * The image tool: makes a flashable image from a base image and a configuration, without root, mounts or loop devices.
 * Programs that know the formats do the work (xorriso, mtools, debugfs, xz); this package decides what goes where,
 * checks everything before, and streams the result. It keeps no records and uploads nothing by itself.
 */
export { type BuildOptions, type BuiltImage, buildImage, missingProgramsFor, programsOf } from './build.ts'
export { runCli } from './cli.ts'
export { loadConfig, parseConfig } from './config/load.ts'
export {
  type BalenaRawConfig,
  configJsonSchema,
  type ImageConfig,
  imageConfig,
  type UbuntuIsoConfig,
} from './config/schema.ts'
export type { BuildPhase, FetchBase, Limits, Progress } from './context.ts'
export { fileSink, type ImageHead, type ImageSink } from './output.ts'
export { type Program, packageOfProgram } from './tools/programs.ts'
export { freeBytesOf } from './workspace.ts'
