import type { SettingField } from '../api/types'

/** How a setting is edited: by its JSON Schema. */
export type Control = 'switch' | 'choice' | 'number' | 'list' | 'text'

export function controlOf(field: SettingField): Control {
  const schema = field.schema
  if (Array.isArray(schema['enum'])) return 'choice'
  if (schema['type'] === 'boolean') return 'switch'
  if (schema['type'] === 'integer' || schema['type'] === 'number') return 'number'
  return schema['type'] === 'array' ? 'list' : 'text'
}

const FAR = 1e9 // the bound of plain counts: it only keeps sums within 64 bits

/** A value as it is typed and shown: lists by commas. */
export const asText = (value: unknown): string => Array.isArray(value) ? value.join(', ') : value === null || value === undefined ? '' : String(value)

/** A number; what is none goes as it is, so that the server says what is wrong with it. */
const numberOr = (text: string) => text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)

/** What was typed as the server takes it. */
export function fromText(field: SettingField, text: string): unknown {
  switch (controlOf(field)) {
    case 'number': return numberOr(text)
    case 'list': {
      const parts = text.split(',').map(part => part.trim()).filter(Boolean)
      const items = field.schema['items'] as { type?: string } | undefined
      return items?.type === 'integer' || items?.type === 'number' ? parts.map(numberOr) : parts
    }
    case 'choice': {
      const found = (field.schema['enum'] as unknown[]).find(value => String(value) === text)
      return found === undefined ? text : found
    }
    default: return text
  }
}

/** Its bounds: "0 – 1"; empty where there are none, or none that anyone would meet. */
export function boundsOf(field: SettingField): string {
  const low = field.schema['minimum'] ?? field.schema['exclusiveMinimum']
  const high = field.schema['maximum'] ?? field.schema['exclusiveMaximum']
  return typeof low !== 'number' || typeof high !== 'number' || high >= FAR ? '' : `${low} – ${high.toLocaleString('en')}`
}
