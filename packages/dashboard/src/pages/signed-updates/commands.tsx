import type { UpdateRole, UpdatesState } from '@freehold/contracts'
import type { ReactNode } from 'react'
import { Command } from '../../components/copy.tsx'
import { Card, Section } from '../../components/page.tsx'

/** The command lines for keys that are not in the server, with what is known of it filled in. */
export function SignElsewhere({ state: { roles } }: { state: UpdatesState }) {
  const rootIsHere = isHere(roles.root)
  const targetsAreHere = isHere(roles.targets)
  const oldRoot = roles.root.keys.find((key) => key.isHere)?.keyid ?? '<id>'
  const oldTargets = roles.targets.keys.find((key) => key.isHere)?.keyid ?? '<id>'
  return (
    <Section
      title="Sign elsewhere"
      lead="To be run where the keys are; the files in the examples are yours to name."
      flush
    >
      <div className="flex flex-col gap-3">
        {targetsAreHere ? (
          <Step title="Releases are signed here, by themselves. To sign them elsewhere instead, move the key of targets:">
            <Command label="Move the key of targets" text={moveTargets(oldTargets, rootIsHere)} />
          </Step>
        ) : (
          <Step title="Sign the releases that wait, on a machine that reaches this server:">
            <Command label="Sign releases" text="freehold updates targets sign --key targets.pem --publish" />
            <p className="text-sm text-muted">Or without a network where the key is, through a file:</p>
            <Command
              label="Sign releases through a file"
              text={[
                'freehold updates targets sign --out targets.json',
                'freehold updates targets sign --in targets.json --key targets.pem --out signed.json',
                'freehold updates targets sign --in signed.json --publish',
              ].join('\n')}
            />
          </Step>
        )}
        {rootIsHere ? (
          <Step title="The root key is in this server. Before the first devices leave the house, take it out:">
            <Command label="Take the root key out" text={takeRootOut(oldRoot)} />
          </Step>
        ) : (
          <Step title="Sign the root anew, once a year:">
            <Command
              label="Sign the root"
              text="freehold updates root sign --key root-a.pem --key root-b.pem --publish"
            />
          </Step>
        )}
      </div>
    </Section>
  )
}

function Step({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Card>
      <p className="text-sm font-medium">{title}</p>
      {children}
    </Card>
  )
}

function takeRootOut(oldKey: string): string {
  return [
    'freehold updates key create --out root-a.pem --passphrase',
    'freehold updates key create --out root-b.pem --passphrase',
    `freehold updates root sign --role root --add-key root-a.pem.pub --add-key root-b.pem.pub --remove-key ${oldKey} --threshold 2 --key root-a.pem --key root-b.pem --publish`,
    'freehold updates drop-root-key',
  ].join('\n')
}

function moveTargets(oldKey: string, rootIsHere: boolean): string {
  const rootKeys = rootIsHere ? '' : ' --key root-a.pem --key root-b.pem'
  return [
    'freehold updates key create --out targets.pem --passphrase',
    `freehold updates root sign --role targets --add-key targets.pem.pub${rootKeys} --publish`,
    'freehold updates targets sign --key targets.pem --publish',
    `freehold updates root sign --role targets --remove-key ${oldKey}${rootKeys} --publish`,
  ].join('\n')
}

function isHere(role: UpdatesState['roles'][UpdateRole]): boolean {
  return role.keys.some((key) => key.isHere)
}
