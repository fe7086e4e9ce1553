import { type DraftProps, LinesField, TextField } from '../../components/field.tsx'
import type { BuildDraft } from './draft.ts'

export function AccessStep({ draft, set, fault }: DraftProps<BuildDraft>) {
  return (
    <>
      <LinesField
        label="Public SSH key"
        value={draft.sshPublicKey}
        onChange={(text) => set({ sshPublicKey: text })}
        placeholder="ssh-ed25519 AAAA… you@home"
        hint="The line in ~/.ssh/id_ed25519.pub. Without one nobody signs in by SSH; passwords are never accepted."
        error={fault('sshPublicKey')}
      />
      {draft.imageKind === 'ubuntu-iso' ? (
        <div className="grid gap-3 sm:grid-cols-2">
          <TextField
            label="User"
            value={draft.sshUser}
            onChange={(sshUser) => set({ sshUser })}
            spellCheck={false}
            autoComplete="off"
            autoCapitalize="none"
            hint="Who signs in with the key."
            error={fault('sshUser')}
          />
        </div>
      ) : (
        <p className="text-sm text-muted">On these systems the key is that of root.</p>
      )}
    </>
  )
}
