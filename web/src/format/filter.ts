/** Preset chips and clicks edit the filter's text by whole pieces; what a filter means is the server's business. */

const pieces = (text: string): string[] => text.match(/-?\w+:"[^"]*"|"[^"]*"|\S+/g) ?? []

/** The values of the one piece `field:a,b`; empty when there is none, or several. */
export function valuesOf(text: string, field: string): string[] {
  const found = pieces(text).filter((piece) => piece.startsWith(`${field}:`))
  return found.length === 1 ? (found[0] ?? '').slice(field.length + 1).split(',') : []
}

/** The filter with the values added to `field`, or taken away when all are there. */
export function toggled(text: string, field: string, values: readonly string[]): string {
  const had = valuesOf(text, field)
  const on = values.every((value) => had.includes(value))
  const kept = on ? had.filter((value) => !values.includes(value)) : [...had, ...values.filter((v) => !had.includes(v))]
  const rest = pieces(text).filter((piece) => !piece.startsWith(`${field}:`))
  return [...rest, ...(kept.length ? [`${field}:${kept.join(',')}`] : [])].join(' ')
}

/** The filter with `field:value` added, or `-field:value` to exclude it; unchanged when it is there. */
export function added(text: string, field: string, value: string | number, exclude = false): string {
  const plain = /^[\w.:/-]+$/.test(String(value)) ? String(value) : `"${String(value).replace(/["\\]/g, '\\$&')}"`
  const piece = `${exclude ? '-' : ''}${field}:${plain}`
  return pieces(text).includes(piece) ? text : [text.trim(), piece].filter(Boolean).join(' ')
}

/** The filter without one of its pieces. */
export const without = (text: string, piece: string) =>
  pieces(text).filter((other) => other !== piece).join(' ')
