/** Shapes of the server's answers: aliases of what openapi-typescript made of its document (schema.d.ts), and the frames of the socket. */

import type { components } from './schema'

type Shapes = components['schemas']

export type Problem = Shapes['Problem']
export type Severity = Shapes['AlertCard']['severity']
export const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info']

export type Me = Shapes['Me']
export type Role = Shapes['Person']['role']
export const ROLES: readonly Role[] = ['viewer', 'analyst', 'admin']
export type User = Shapes['UserShape']
export type Token = Shapes['Token']
export type Channel = Shapes['Channel']
export type SettingField = Shapes['SettingField']
export type SettingSection = Shapes['SettingSection']
export type SettingsChanged = Shapes['SettingsChanged']

/** A job of either list: one that runs has `since` and `progress`, one that ended has the rest. */
export type Job = Pick<Shapes['Job'], 'id' | 'kind' | 'name' | 'state'> & Partial<Shapes['Job'] & Shapes['OpenJob']>
export type Schedule = Shapes['ScheduleShape']
export type NewReport = Required<Shapes['NewReport']>
export type ReportFormat = NewReport['formats'][number]
export type Report = Shapes['Report']
export type NewScan = Shapes['NewScan']
export type ScanSummary = Shapes['ScanSummary']
export type ScannedHost = Shapes['ScannedHost']
export type ScannedPort = Shapes['ScannedPort']
export type Scan = Shapes['ScanWhole']

export type CaptureLimits = Shapes['CaptureLimits']
export type CaptureList = Shapes['CaptureList']
export type KeptCapture = Shapes['KeptCapture']
export type AnalysedCapture = Shapes['AnalysedCapture']
export type Share = Shapes['Share']
/** How the live capture is to look at packets; what is left out stays as it was. */
export interface CaptureOptions { bpf?: string, snaplen?: number, ring?: number }
export type NewRecording = Omit<Required<Shapes['NewRecording']>, 'form'>

export type Interface = Shapes['Interface']
export type Capture = Shapes['Capture']
export type LogCounts = Shapes['LogCounts']

export type Talker = Shapes['Talker']
export type Protocol = Shapes['Protocol']
export type Deduction = Shapes['Deduction']
export type Score = Shapes['Score']
export type Threats = Shapes['Threats']
export type Gap = Shapes['Gap']

export type Row = Shapes['Row']
export type EventPage = Shapes['EventPage']
export type Alert = Shapes['AlertCard'] & Partial<Pick<Shapes['AlertWhole'], 'has_packets'>>
export type AlertPage = Shapes['AlertPage']

export type Health = Shapes['Health']
export type Verdict = Shapes['Verdict']
export type InterfaceHealth = Shapes['InterfaceHealth']
export type Probe = Shapes['Probe']
export type LogLine = Shapes['LogLine']
/** Name of a series -> its [s UTC, value], oldest first: pairs, where the document can say no more than lists. */
export type HealthHistory = Record<keyof Shapes['HealthHistory']['items'], [number, number][]>

// The frames of the socket (serve/state.py, serve/sample.py), which no document describes.

export type Latest = Pick<Shapes['Overview'], 'drops' | 'top' | 'protocols' | 'score' | 'threats' | 'inbox' | 'packets_total'>
export type Value = number | null
export interface Columns { from: number, to: number, ts: number[], cols: Value[][] }
export interface Snapshot extends Latest {
  boot: string
  seq: number
  now: number
  capture: Capture
  series: Columns & { names: string[] }
  gaps: Gap[]
}
export interface Tick extends Latest {
  boot: string
  seq: number
  ts: number
  v: Value[]
  silent: boolean
  skipped: number
  slow: boolean
}
export interface RowsFrame { seq: number, seen: number, shown: number, rule: 'all' | 'sample', cols: string[], rows: unknown[][] }
