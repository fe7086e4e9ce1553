import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fit, formatTable } from './table.ts'
import { age, bytes, displayWidth, plain, safeLogLine } from './text.ts'

describe('tables', () => {
  test('line their columns up', () => {
    const table = {
      columns: ['NAME', 'STATE'],
      rows: [
        ['web', 'running'],
        ['database', 'failed'],
      ],
    }
    expect(formatTable(table, undefined)).toEqual(['NAME      STATE', 'web       running', 'database  failed'])
  })

  test('cut the widest column to fit a terminal and say so with an ellipsis', () => {
    const table = { columns: ['NAME', 'MESSAGE'], rows: [['web', 'a message that is far too long for this']] }
    const lines = formatTable(table, 30)
    expect(lines.every((line) => displayWidth(line) <= 30)).toBe(true)
    expect(lines[1]).toMatch(/^web {3}a message .*…$/)
  })

  test('never cut anything where there is no terminal', () => {
    const long = 'x'.repeat(5000)
    expect(formatTable({ columns: ['NAME'], rows: [[long]] }, undefined)[1]).toBe(long)
  })

  test('fit any width that leaves each column its least', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 80, max: 200 }),
        (natural, width) => {
          const widths = fit(natural, width)
          const total = widths.reduce((sum, each) => sum + each, 0) + 2 * (widths.length - 1)
          expect(total).toBeLessThanOrEqual(width)
          for (const [index, each] of widths.entries()) expect(each).toBeLessThanOrEqual(natural[index] ?? 0)
        },
      ),
    )
  })
})

describe('text from elsewhere', () => {
  test('cannot steer the terminal', () => {
    expect(plain('a\u001b[2Jb\u0007c\r\nd')).toBe('abc d')
    expect(safeLogLine('\u001b]0;title\u0007\u001b[31mred\u001b[0m\u001b[2A')).toBe('\u001b[31mred\u001b[0m')
    expect(plain('invoice\u202efdp.exe\u2066x\u200b\u2028y')).toBe('invoicefdp.exexy')
    expect(plain('\u{1f469}\u200d\u{1f52c}')).toBe('\u{1f469}\u200d\u{1f52c}')
    expect(safeLogLine('a\u202eb')).toBe('ab')
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !/(?!\t)\p{Cc}|\p{Bidi_C}/u.test(plain(text))))
  })

  test('ages and sizes are said in their largest unit', () => {
    const now = new Date('2026-01-02T00:00:00Z')
    expect([
      age('2026-01-01T23:59:58Z', now),
      age('2026-01-01T20:00:00Z', now),
      age('2025-12-01T00:00:00Z', now),
    ]).toEqual(['2s', '4h', '32d'])
    expect([bytes(12), bytes(1536), bytes(5 * 1024 ** 3)]).toEqual(['12 B', '1.5 KiB', '5.0 GiB'])
  })
})
