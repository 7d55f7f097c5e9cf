import { describe, expect, it } from 'vitest'
import { captureCommand, quoted, readCommand, runCommand } from './commands'
import { added, toggled, valuesOf, without } from './filter'
import { bitRate, byteSize, count, joined, packetRate, percent } from './numbers'
import { middle, pair, visible } from './text'
import { rowTime, span } from './time'

describe('numbers', () => {
  it.each([
    [0, '0 bit/s'], [999, '999 bit/s'], [1000, '1 kbit/s'], [48_100_000, '48.1 Mbit/s'], [999_999_999, '1 Gbit/s'],
  ])('bit rate of %d is %s', (value, text) => expect(joined(bitRate(value))).toBe(text))

  it.each([[512, '512 B'], [1024, '1 KiB'], [1536, '1.5 KiB'], [325_058_560, '310 MiB']])(
    'size of %d is %s', (value, text) => expect(joined(byteSize(value))).toBe(text))

  it.each([[0, '0'], [1234, '1,234'], [9999, '9,999'], [12_345, '12.3 k'], [2_100_000, '2.1 M']])(
    'count of %d is %s', (value, text) => expect(count(value)).toBe(text))

  it.each([null, undefined, NaN, Infinity])('unknown %s is a dash', (value) => {
    for (const format of [bitRate, packetRate, byteSize, percent]) expect(joined(format(value))).toBe('-')
    expect(count(value)).toBe('-')
  })

  it('keeps one digit of a percentage', () => expect(joined(percent(12.345))).toBe('12.3 %'))
})

describe('times', () => {
  it.each([[0, '0 s'], [59.9, '59 s'], [60, '1 min'], [3600, '1 h'], [11_520, '3 h 12 min'], [187_200, '2 d 4 h'],
    [-5, '0 s']])('%d seconds are %s', (seconds, text) => expect(span(seconds)).toBe(text))

  it('shows milliseconds in the chosen zone', () => {
    expect(rowTime(1763733731.041, 1763733800, 'UTC')).toBe('14:02:11.041')
    expect(rowTime(1763733731.041, 1763733800, 'Europe/Berlin')).toBe('15:02:11.041')
  })
})

describe('texts from the wire', () => {
  it('makes control and direction characters visible', () => {
    expect(visible('a\u0000b\u202ec\u001b[31m')).toBe('a\u2400b\u27e8U+202E\u27e9c\u241b[31m')
  })
  it('leaves markup as text', () => expect(visible('<b>{{1}}</b>')).toBe('<b>{{1}}</b>'))
  it('names whom an alert is about, without an arrow from nobody', () => {
    const end = (ip: string) => ({ ip })
    expect(pair({ src: end('10.0.0.1'), dst: end('10.0.0.2') }, 40)).toBe('10.0.0.1 → 10.0.0.2')
    expect(pair({ src: end(''), dst: end('10.0.0.2') }, 40)).toBe('10.0.0.2')
    expect(pair({ src: end(''), dst: end('') }, 40)).toBe('-')
  })

  it('cuts in the middle and keeps both ends', () => {
    expect(middle('abcdefghij', 5)).toBe('ab…ij')
    expect(middle('x'.repeat(65_536), 40)).toHaveLength(40)
  })
})

describe('filter pieces', () => {
  it('adds and takes away preset values', () => {
    expect(toggled('', 'kind', ['network_scan'])).toBe('kind:network_scan')
    expect(toggled('kind:network_scan', 'kind', ['flood'])).toBe('kind:network_scan,flood')
    expect(toggled('nas kind:network_scan,flood', 'kind', ['flood'])).toBe('nas kind:network_scan')
    expect(toggled('severity:high,critical x', 'severity', ['high', 'critical'])).toBe('x')
  })
  it('leaves a quoted piece whole', () => expect(toggled('"port scan"', 'kind', ['flood'])).toBe('"port scan" kind:flood'))
  it('says which values are chosen', () => {
    expect(valuesOf('a kind:x,y b', 'kind')).toEqual(['x', 'y'])
    expect(valuesOf('-kind:x', 'kind')).toEqual([])
  })
  it('adds a value once, quotes what needs it, excludes', () => {
    expect(added('a', 'src', '10.0.0.1')).toBe('a src:10.0.0.1')
    expect(added('src:10.0.0.1', 'src', '10.0.0.1')).toBe('src:10.0.0.1')
    expect(added('', 'app', 'x y"', true)).toBe('-app:"x y\\""')
  })
  it('removes one piece', () => expect(without('a b kind:x', 'b')).toBe('a kind:x'))
})

describe('commands', () => {
  it('quotes what a shell would take apart', () => {
    expect(quoted('eth0')).toBe('eth0')
    expect(quoted("it's $(x)")).toBe(`'it'\\''s $(x)'`)
    expect(readCommand('a b.pcap')).toBe("nsm read 'a b.pcap'")
  })
  it('leaves out what is as usual', () => {
    expect(runCommand('eth0', '', 262_144, 32)).toBe('sudo nsm run -i eth0')
    expect(runCommand('eth0', 'tcp port 443', 128, 64)).toBe("sudo NSM_CAPTURE__FILTER='tcp port 443' NSM_CAPTURE__SNAPLEN=128 NSM_CAPTURE__RING_MB=64 nsm run -i eth0")
    expect(captureCommand({ iface: 'eth0', seconds: 60, megabytes: 100, filter: '', snaplen: 262_144 }))
      .toBe('sudo nsm capture -i eth0 -w eth0.pcapng --for 60s --size 100M')
  })
})
