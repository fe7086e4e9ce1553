import { useRef } from 'react'
import { Button, IconButton } from '../../components/button.tsx'
import {
  CheckField,
  type DraftProps,
  FieldGroup,
  inputClass,
  LinesField,
  SelectField,
  TextField,
} from '../../components/field.tsx'
import { CloseIcon, PlusIcon } from '../../components/icons.tsx'
import type { Draft } from './draft.ts'

const pair = 'grid gap-3 sm:grid-cols-2'

export function ImageFields({ draft, set, fault }: DraftProps<Draft>) {
  return (
    <FieldGroup title="Image">
      <div className={pair}>
        <TextField
          label="Image version"
          value={draft.imageVersion}
          onChange={(imageVersion) => set({ imageVersion })}
          spellCheck={false}
          required
          hint="A tag, or a digest to pin it"
          error={fault('data.imageVersion')}
        />
        <TextField
          label="Description"
          value={draft.description}
          maxLength={500}
          onChange={(description) => set({ description })}
          error={fault('data.description')}
        />
      </div>
      <CheckField
        label="Deploy on push"
        hint="A push to this version rolls it out at once."
        checked={draft.deployOnPush}
        onChange={(deployOnPush) => set({ deployOnPush })}
      />
      <LinesField
        label="Command"
        hint="One argument a line. Empty: what the image says."
        value={draft.command}
        onChange={(command) => set({ command })}
        error={fault('data.command')}
      />
    </FieldGroup>
  )
}

export function ReplicaFields({ draft, set, fault }: DraftProps<Draft>) {
  return (
    <FieldGroup title="Replicas and resources">
      <div className={pair}>
        <SelectField
          label="Where it runs"
          value={draft.deploymentStrategy}
          onChange={(value) => set({ deploymentStrategy: value as Draft['deploymentStrategy'] })}
          choices={[
            { value: 'custom', label: 'As many as said here' },
            { value: 'limited-replicas', label: 'As many as said, never above the most' },
            { value: 'all-nodes', label: 'One on every node' },
          ]}
        />
        {draft.deploymentStrategy !== 'all-nodes' && (
          <NumberField
            label="Replicas"
            min={0}
            max={1000}
            value={draft.scaleFactor}
            required
            onChange={(scaleFactor) => set({ scaleFactor })}
            error={fault('data.scaleFactor')}
          />
        )}
        {draft.deploymentStrategy === 'limited-replicas' && (
          <NumberField
            label="At most"
            min={1}
            max={1000}
            value={draft.maxReplicas}
            onChange={(maxReplicas) => set({ maxReplicas })}
            error={fault('data.maxReplicas')}
          />
        )}
        <NumberField
          label="CPU limit"
          hint="Cores; empty: none"
          min={0.01}
          step="any"
          value={draft.cpuLimit}
          onChange={(cpuLimit) => set({ cpuLimit })}
          error={fault('data.resources.cpuLimit')}
        />
        <NumberField
          label="Memory limit"
          hint="MB; empty: none"
          min={6}
          value={draft.memorySizeMB}
          onChange={(memorySizeMB) => set({ memorySizeMB })}
          error={fault('data.resources.memorySizeMB')}
        />
      </div>
      <CheckField
        label="Spread out"
        hint="At most one replica on each node."
        checked={draft.antiAffinity}
        onChange={(antiAffinity) => set({ antiAffinity })}
      />
    </FieldGroup>
  )
}

export function PortFields({ draft, set, fault }: DraftProps<Draft>) {
  const rows = draft.published
  const nextKey = useRef(rows.length)
  const change = (key: number, part: Partial<Draft['published'][number]>) =>
    set({ published: rows.map((row) => (row.key === key ? { ...row, ...part } : row)) })
  const error = fault('data.ports.published')
  return (
    <FieldGroup title="Ports">
      <div className={pair}>
        <NumberField
          label="Port it serves on"
          hint="In the container; asked for health"
          min={1}
          max={65_535}
          value={draft.web}
          onChange={(web) => set({ web })}
          error={fault('data.ports.web')}
        />
      </div>
      {rows.map((row) => (
        <div key={row.key} className="flex items-center gap-2">
          <input
            aria-label="Port on the node"
            placeholder="On the node"
            type="number"
            min={1}
            max={65_535}
            required
            value={row.published}
            onChange={(event) => change(row.key, { published: event.target.value })}
            className={inputClass}
          />
          <span className="text-muted" aria-hidden="true">
            →
          </span>
          <input
            aria-label="Port in the container"
            placeholder="In the container"
            type="number"
            min={1}
            max={65_535}
            required
            value={row.target}
            onChange={(event) => change(row.key, { target: event.target.value })}
            className={inputClass}
          />
          <select
            aria-label="Protocol"
            value={row.protocol}
            onChange={(event) => change(row.key, { protocol: event.target.value as 'tcp' | 'udp' })}
            className={`${inputClass} w-20! shrink-0`}
          >
            <option value="tcp">TCP</option>
            <option value="udp">UDP</option>
          </select>
          <IconButton
            label={`Remove port ${row.published}`}
            onClick={() => set({ published: rows.filter(({ key }) => key !== row.key) })}
          >
            <CloseIcon />
          </IconButton>
        </div>
      ))}
      {error !== undefined && <p className="text-xs font-medium text-bad">{error}</p>}
      <div>
        <Button
          onClick={() => {
            nextKey.current += 1
            set({ published: [...rows, { key: nextKey.current, target: '', published: '', protocol: 'tcp' }] })
          }}
        >
          <PlusIcon />
          Publish a port
        </Button>
      </div>
    </FieldGroup>
  )
}

export function HealthFields({ draft, set, fault }: DraftProps<Draft>) {
  const isAsked = draft.health === 'http' || draft.health === 'tcp'
  return (
    <FieldGroup title="Health check">
      <div className={pair}>
        <SelectField
          label="How to tell that it serves"
          value={draft.health}
          onChange={(value) => set({ health: value as Draft['health'] })}
          choices={[
            { value: 'none', label: 'Its port answers, or it keeps running' },
            { value: 'http', label: 'HTTP: a path answers with success' },
            { value: 'tcp', label: 'TCP: a port accepts' },
            { value: 'command', label: 'Command: exits with 0' },
          ]}
          error={fault('data.healthCheck.type')}
        />
        {draft.health === 'http' && (
          <TextField
            label="Path"
            value={draft.healthPath}
            required
            onChange={(healthPath) => set({ healthPath })}
            error={fault('data.healthCheck.path')}
          />
        )}
        {isAsked && (
          <NumberField
            label="Port"
            hint="Empty: the port it serves on"
            min={1}
            max={65_535}
            value={draft.healthPort}
            onChange={(healthPort) => set({ healthPort })}
            error={fault('data.healthCheck.port')}
          />
        )}
        {draft.health !== 'none' && (
          <NumberField
            label="Time to answer"
            hint="Seconds"
            min={1}
            max={60}
            required
            value={draft.healthTimeout}
            onChange={(healthTimeout) => set({ healthTimeout })}
            error={fault('data.healthCheck.timeoutSeconds')}
          />
        )}
      </div>
      {draft.health === 'command' && (
        <LinesField
          label="Health command"
          hint="One argument a line; runs inside the container"
          value={draft.healthCommand}
          onChange={(healthCommand) => set({ healthCommand })}
          error={fault('data.healthCheck.command')}
        />
      )}
    </FieldGroup>
  )
}

export function RolloutFields({ draft, set, fault }: DraftProps<Draft>) {
  return (
    <FieldGroup title="Rollout">
      <div className={pair}>
        <SelectField
          label="Strategy"
          value={draft.rolloutStrategy}
          onChange={(value) => set({ rolloutStrategy: value as Draft['rolloutStrategy'] })}
          choices={[
            { value: 'auto', label: 'New beside old, where that can be done' },
            { value: 'recreate', label: 'Stop the old first' },
          ]}
        />
        <NumberField
          label="Deadline"
          hint="Seconds to become healthy"
          min={5}
          max={3600}
          required
          value={draft.deadlineSeconds}
          onChange={(deadlineSeconds) => set({ deadlineSeconds })}
          error={fault('data.rollout.deadlineSeconds')}
        />
        <NumberField
          label="Settle"
          hint="Seconds to stay healthy before the old one goes"
          min={0}
          max={600}
          required
          value={draft.settleSeconds}
          onChange={(settleSeconds) => set({ settleSeconds })}
          error={fault('data.rollout.settleSeconds')}
        />
        <NumberField
          label="Stop grace"
          hint="Seconds a container has to end by itself"
          min={0}
          max={3600}
          required
          value={draft.stopGraceSeconds}
          onChange={(stopGraceSeconds) => set({ stopGraceSeconds })}
          error={fault('data.stopGraceSeconds')}
        />
      </div>
    </FieldGroup>
  )
}

function NumberField(props: Omit<Parameters<typeof TextField>[0], 'type'>) {
  return <TextField {...props} type="number" inputMode="decimal" />
}
