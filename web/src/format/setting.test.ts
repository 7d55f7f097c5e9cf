import { expect, test } from 'vitest'
import type { SettingField } from '../api/types'
import { asText, boundsOf, controlOf, fromText } from './setting'

const field = (schema: Record<string, unknown>) => ({ key: 'a.b', schema }) as unknown as SettingField

test('a setting is edited by what its schema says', () => {
  expect(controlOf(field({ type: 'boolean' }))).toBe('switch')
  expect(controlOf(field({ enum: ['low', 'high'] }))).toBe('choice')
  expect(controlOf(field({ type: 'integer', minimum: 1 }))).toBe('number')
  expect(controlOf(field({ type: 'array', items: { type: 'string' } }))).toBe('list')
  expect(controlOf(field({ type: 'string' }))).toBe('text')
})

test('what is typed becomes what the server takes', () => {
  expect(fromText(field({ type: 'integer' }), '12')).toBe(12)
  expect(fromText(field({ type: 'integer' }), 'many')).toBe('many')
  expect(fromText(field({ type: 'array', items: { type: 'string' } }), 'eth0, wlan0,')).toEqual(['eth0', 'wlan0'])
  expect(fromText(field({ enum: [1, 2] }), '2')).toBe(2)
  expect(fromText(field({ type: 'string' }), ' as typed ')).toBe(' as typed ')
})

test('values and bounds are shown', () => {
  expect(asText(['a', 'b'])).toBe('a, b')
  expect(asText(null)).toBe('')
  expect(boundsOf(field({ minimum: 0, maximum: 1 }))).toBe('0 – 1')
  expect(boundsOf(field({ minimum: 1, maximum: 20000 }))).toBe('1 – 20,000')
  expect(boundsOf(field({ minimum: 0, maximum: 1_000_000_000 }))).toBe('')
  expect(boundsOf(field({}))).toBe('')
})
