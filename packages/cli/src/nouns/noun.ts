import { kinds, type Route, routes } from '@freehold/contracts'
import type { z } from 'zod'
import { fieldsOf, unwrap } from '../schema.ts'

/** One noun of the contract, and all that its commands are generated from. */
export interface Noun {
  plural: string
  singular: string
  /** Kind as change feed and resources name it. */
  kind: string
  verbs: Record<string, Route>
  /** Fields of `data`, as far as the API shows them. */
  data: z.ZodType
  /** Fields that `create` takes; empty without that verb. */
  createFields: Record<string, z.ZodType>
  /** Fields that `update` may change; empty without that verb. */
  updateFields: Record<string, z.ZodType>
  /** Query parameters of `list` besides page, label and search. */
  filters: Record<string, z.ZodType>
  /** Verbs that only need to know which one, such as `revoke`, with their summary. */
  actions: { verb: string; route: Route }[]
}

const pageParameters = ['limit', 'cursor', 'label', 'search']

/** Every noun of the contract that is a kind of resource with a list. */
export function listNouns(): Noun[] {
  return Object.entries(routes as unknown as Record<string, Record<string, Route>>).flatMap(([key, verbs]) => {
    const plural = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    const kind = Object.values(kinds).find((each) => each.plural === plural)
    if (kind === undefined || verbs.list === undefined) return []
    const data: z.ZodType = kind.data
    return [
      {
        plural,
        singular: kind.name,
        kind: kind.name,
        verbs,
        data,
        createFields: fieldsOf(fieldsOf(verbs.create?.body).data),
        updateFields: updateFieldsOf(verbs.update, data),
        filters: Object.fromEntries(
          Object.entries(fieldsOf(verbs.list.query)).filter(([name]) => !pageParameters.includes(name)),
        ),
        actions: actionsOf(verbs),
      },
    ]
  })
}

/** `a service`, `an image`. */
export function oneOf(noun: Noun): string {
  return `${/^[aeio]/.test(noun.singular) ? 'an' : 'a'} ${noun.singular}`
}

/** The noun with this plural or singular name. */
export function findNoun(nouns: readonly Noun[], name: string): Noun {
  const noun = nouns.find((each) => each.plural === name || each.singular === name)
  if (noun === undefined) throw new Error(`The contract has no noun "${name}".`)
  return noun
}

/**
 * The plural of the noun a field refers to by id: `clusterId` is one of `clusters`, `appChannelId` one of `channels`,
 * `baseImageId` one of `base-images`;
 * undefined for other fields.
 */
export function referenceOf(field: string): string | undefined {
  if (!field.endsWith('Id')) return undefined
  const [singular] = /[A-Z](?:hannel|elease)$/.exec(field.slice(0, -2)) ?? [field.slice(0, -2)]
  const name = singular.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase()
  return Object.values(kinds).find((kind) => kind.name === name)?.plural
}

/** A merge patch says what it is one of; a patch with fields of its own says them. */
function updateFieldsOf(update: Route | undefined, data: z.ZodType): Record<string, z.ZodType> {
  if (update === undefined) return {}
  const patch = fieldsOf(update.body).data
  if (patch === undefined) return fieldsOf(data)
  const { patches } = unwrap(patch) as { patches?: z.ZodType }
  return fieldsOf(patches ?? patch)
}

function actionsOf(verbs: Record<string, Route>): { verb: string; route: Route }[] {
  return Object.entries(verbs).flatMap(([verb, route]) => {
    const onlyNeedsId =
      route.method === 'POST' && route.path.includes('/:id/') && route.body.safeParse(undefined).success
    return onlyNeedsId ? [{ verb, route }] : []
  })
}
