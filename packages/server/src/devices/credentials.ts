import { hash, randomBytes } from 'node:crypto'
import { deviceCredentialKind, deviceKind } from '@freehold/contracts'
import type { Reads, Transaction } from '@freehold/store'
import { nodeTokenLifeMs } from './kind.ts'

/** SHA-256 is enough for 256 random bits, and cheap enough for every heartbeat. */
export function hashOf(value: string): string {
  return hash('sha256', value, 'base64url')
}

/** A new random value; it begins so that people and secret scanners recognise it. */
export function makeToken(prefix: 'fhd_' | 'fhn_'): { value: string; hash: string; start: string } {
  const value = `${prefix}${randomBytes(32).toString('base64url')}`
  return { value, hash: hashOf(value), start: value.slice(0, 10) }
}

export interface NodeToken {
  nodeToken: string
  nodeTokenExpiresAt: string
}

/** A new node token beside the one in use. It takes the place of one that was offered and never used. */
export async function offerToken(
  transaction: Transaction,
  { deviceId, now }: { deviceId: string; now: number },
): Promise<NodeToken> {
  const before = await transaction.all(deviceCredentialKind, { where: { deviceId } })
  for (const { id, data } of before) {
    if (data.purpose === 'token' && !data.used) await transaction.delete(deviceCredentialKind, id)
  }
  const token = makeToken('fhn_')
  const expiresAt = new Date(now + nodeTokenLifeMs).toISOString()
  await transaction.create(deviceCredentialKind, {
    data: { deviceId, purpose: 'token', hash: token.hash, expiresAt, used: false },
  })
  return { nodeToken: token.value, nodeTokenExpiresAt: expiresAt }
}

/** The device has shown that it holds this token: those before it end. False where the token has ended itself. */
export async function useToken(
  transaction: Transaction,
  { deviceId, credentialId }: { deviceId: string; credentialId: string },
): Promise<boolean> {
  const all = await transaction.all(deviceCredentialKind, { where: { deviceId } })
  const used = all.find(({ id }) => id === credentialId)
  if (used === undefined) return false
  for (const { id, data } of all) {
    if (data.purpose === 'token' && id !== credentialId) await transaction.delete(deviceCredentialKind, id)
  }
  await transaction.update(deviceCredentialKind, credentialId, { data: { ...used.data, used: true } })
  return true
}

/** The device that is let in and has this node token. `refused`: the token has expired, or the device was shut out. */
export async function deviceOfToken(
  reads: Reads,
  { token, now }: { token: string; now: number },
): Promise<{ deviceId: string } | 'unknown' | 'refused'> {
  const credential = await reads.find(deviceCredentialKind, 'token', hashOf(token))
  if (credential === undefined) return 'unknown'
  const { deviceId, expiresAt } = credential.data
  if (expiresAt !== null && Date.parse(expiresAt) <= now) return 'refused'
  return (await reads.get(deviceKind, deviceId))?.data.access === 'allowed' ? { deviceId } : 'refused'
}

/** Replaces what a device or a claimant is recognised by. */
export async function keepSecret(
  transaction: Transaction,
  input: { deviceId: string; purpose: 'secret' | 'claim'; secret: string | null | undefined },
): Promise<void> {
  const { deviceId, purpose, secret } = input
  for (const { id, data } of await transaction.all(deviceCredentialKind, { where: { deviceId } })) {
    if (data.purpose === purpose) await transaction.delete(deviceCredentialKind, id)
  }
  if (typeof secret !== 'string') return
  await transaction.create(deviceCredentialKind, {
    data: { deviceId, purpose, hash: hashOf(secret), expiresAt: null, used: false },
  })
}

/** Ends everything a device could prove itself with. */
export async function endCredentials(transaction: Transaction, deviceId: string): Promise<void> {
  for (const { id } of await transaction.all(deviceCredentialKind, { where: { deviceId } })) {
    await transaction.delete(deviceCredentialKind, id)
  }
}
