import type { BuildArchitecture, ImageKind } from '@freehold/contracts'
import { architectureWords, kindWords } from './words.ts'

/** Of a build or a base image: what it is, and for which processor. */
export function KindCell({ imageKind, architecture }: { imageKind: ImageKind; architecture: BuildArchitecture }) {
  return (
    <span className="flex flex-col">
      {kindWords[imageKind]}
      <span className="text-xs text-muted">{architectureWords[architecture]}</span>
    </span>
  )
}
