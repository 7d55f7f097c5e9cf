/** Numbers as people read them: rates in SI bits, sizes in IEC bytes, counts exact below 10 k. Never NaN. */

export type Maybe = number | null | undefined
export const UNKNOWN = '-'

const known = (value: Maybe): value is number => typeof value === 'number' && Number.isFinite(value)

const decimal = (value: number, digits: number) =>
  new Intl.NumberFormat(undefined, { maximumFractionDigits: digits }).format(value)

/** Three digits at most: 1.23, 12.3, 123. */
const short = (value: number) => decimal(value, value < 10 ? 2 : value < 100 ? 1 : 0)

function scaled(value: number, step: number, units: readonly string[]): [string, string] {
  let index = 0
  while (Math.abs(value) >= step && index < units.length - 1) {
    value /= step
    index++
  }
  // 999.7 rounds to the next unit's 1
  if (Math.round(Math.abs(value)) >= step && index < units.length - 1) {
    value /= step
    index++
  }
  return [index === 0 ? decimal(value, value < 10 && !Number.isInteger(value) ? 1 : 0) : short(value), units[index] ?? '']
}

/** Number and unit apart, so that the unit can be drawn lighter. */
export type Quantity = readonly [value: string, unit: string]
const none: Quantity = [UNKNOWN, '']

export const bitRate = (value: Maybe): Quantity =>
  known(value) ? scaled(value, 1000, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']) : none
export const packetRate = (value: Maybe): Quantity =>
  known(value) ? scaled(value, 1000, ['pps', 'kpps', 'Mpps', 'Gpps']) : none
export const byteSize = (value: Maybe): Quantity =>
  known(value) ? scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']) : none
export const percent = (value: Maybe): Quantity => (known(value) ? [decimal(value, 1), '%'] : none)

/** 1,234 below 10 k, then 12.3 k. */
export function count(value: Maybe): string {
  if (!known(value)) return UNKNOWN
  if (Math.abs(value) < 10_000) return decimal(value, 0)
  const [number, unit] = scaled(value, 1000, ['', 'k', 'M', 'G', 'T'])
  return `${number} ${unit}`
}

/** All digits, grouped. */
export const exact = (value: Maybe): string => (known(value) ? decimal(value, 0) : UNKNOWN)

export const joined = ([value, unit]: Quantity): string => (unit ? `${value} ${unit}` : value)
