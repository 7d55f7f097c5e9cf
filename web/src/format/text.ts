/** Texts from the wire, made harmless for the eye: nothing invisible, nothing that turns its neighbours around. */

// Characters that change direction or hide: Unicode 15, section 23.2, and the zero-width ones.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g

function shown(char: string): string {
  const code = char.charCodeAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code) // control pictures
  if (code === 0x7f) return '\u2421'
  return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`
}

/** The text with control, direction and zero-width characters made visible. */
export const visible = (text: string): string => text.replace(UNSEEN, shown)

/** Whom an alert is about: source, destination, or an arrow between both; a dash when it names none. */
export function pair({ src, dst }: { src: { ip: string }, dst: { ip: string } }, most: number): string {
  return [src.ip, dst.ip].filter(Boolean).map((ip) => middle(ip, most)).join(' → ') || '-'
}

/** As `visible`, cut in the middle when longer than `most`. */
export function middle(text: string, most: number): string {
  const safe = visible(text.length > most * 8 ? `${text.slice(0, most * 4)}${text.slice(-most * 4)}` : text)
  if (safe.length <= most) return safe
  const half = Math.floor((most - 1) / 2)
  return `${safe.slice(0, most - 1 - half)}…${safe.slice(-half)}`
}
