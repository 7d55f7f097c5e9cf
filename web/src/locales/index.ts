import { en, type TextKey } from './en'

/** The text of a key with its `{names}` filled in. */
export function t(key: TextKey, values: Record<string, string | number> = {}): string {
  return en[key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole))
}

/** The text of a key made of a prefix and a value from the server; the value itself where there is none. */
export function word(prefix: 'kind' | 'severity', value: string): string {
  const key = `${prefix}.${value}`
  return key in en ? en[key as TextKey] : value
}

export type { TextKey }
