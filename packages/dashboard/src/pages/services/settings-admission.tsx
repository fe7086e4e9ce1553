import { CheckField, type DraftProps, FieldGroup, LinesField } from '../../components/field.tsx'
import type { Draft } from './draft.ts'

/** What an image must show before a rollout starts anything of it. */
export function AdmissionFields({ draft, set, fault }: DraftProps<Draft>) {
  return (
    <FieldGroup title="Admission">
      <LinesField
        label="Signed by"
        hint="Public keys such as cosign.pub, one after another; a signature by any of them is enough. Empty: unsigned images run."
        value={draft.signedBy}
        onChange={(signedBy) => set({ signedBy })}
        error={fault('data.admission.signedBy')}
      />
      <LinesField
        label="Signature annotations"
        hint="key=value, one a line: what the signature must say"
        value={draft.annotations}
        onChange={(annotations) => set({ annotations })}
        error={fault('data.admission.annotations')}
      />
      <CheckField
        label="Require a digest"
        hint="The image version must be a digest; nothing but an edit changes the image."
        checked={draft.requireDigest}
        onChange={(requireDigest) => set({ requireDigest })}
      />
    </FieldGroup>
  )
}
