import { CheckField, type DraftProps, FieldGroup, TextField } from '../../components/field.tsx'
import type { BuildDraft } from './draft.ts'

export function NetworkStep({ draft, set, fault }: DraftProps<BuildDraft>) {
  return (
    <>
      <TextField
        label="Hostname"
        value={draft.hostname}
        onChange={(hostname) => set({ hostname })}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="none"
        placeholder="Made from the build"
        hint="Letters, digits and hyphens. The device is called so in its network, and here."
        error={fault('hostname')}
      />
      <FieldGroup title="Wi-Fi">
        <CheckField
          label="Connect by Wi-Fi"
          hint="A device with a cable needs none."
          checked={draft.hasWifi}
          onChange={(hasWifi) => set({ hasWifi })}
        />
        {draft.hasWifi && (
          <>
            <div className="grid gap-3 sm:grid-cols-2">
              <TextField
                label="Name of the network"
                value={draft.ssid}
                onChange={(ssid) => set({ ssid })}
                spellCheck={false}
                autoComplete="off"
                autoCapitalize="none"
                error={fault('wifi.ssid')}
              />
              {!draft.isOpen && (
                <TextField
                  label="Passphrase"
                  type="password"
                  value={draft.passphrase}
                  onChange={(passphrase) => set({ passphrase })}
                  autoComplete="new-password"
                  hint="8 to 63 characters. Kept encrypted until the image is built."
                  error={fault('wifi.passphrase')}
                />
              )}
            </div>
            <CheckField
              label="It is open: there is no passphrase"
              checked={draft.isOpen}
              onChange={(isOpen) => set({ isOpen, ...(isOpen ? { passphrase: '' } : {}) })}
            />
            <CheckField
              label="It is hidden: it does not say its name"
              checked={draft.isHidden}
              onChange={(isHidden) => set({ isHidden })}
            />
          </>
        )}
      </FieldGroup>
    </>
  )
}
