/** Shapes of the server's answers and frames; the names are the contract (serve/shapes.py, serve/state.py). */

export type Severity = 'info' | 'low' | 'medium' | 'high' | 'critical'
export const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low', 'info']

export interface Problem {
  type: string
  title: string
  status: number
  detail: string
  where: string
  fix: { text: string, cmd: string }[]
  request_id: string
}

export type Role = 'viewer' | 'analyst' | 'admin'
export const ROLES: readonly Role[] = ['viewer', 'analyst', 'admin']
export interface User { name: string, role: Role, created: number, tokens: number }
export interface Channel {
  name: string
  kind: string
  state: 'untried' | 'works' | 'failing' | 'hangs'
  failures: number
  error: string
  sent: number | null
  counts: Record<string, number>
}
export interface Token { id: number, name: string, label: string, scope: Role, created: number, until: number, used: number | null }

export interface Job {
  id: number
  kind: 'scan' | 'report'
  name: string
  state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled' | 'lost'
  since?: number
  started?: number
  ended?: number | null
  who?: string
  text?: string
  progress?: { stage?: string, done?: number, total?: number, hosts?: number, open?: number }
  result?: Record<string, unknown>
}
export interface Schedule {
  id: number
  kind: 'scan' | 'report'
  name: string
  trigger: string
  task: Record<string, unknown>
  enabled: boolean
  who: string
  due: number | null
  last: Job | null
}
export type ReportFormat = 'html' | 'pdf' | 'json' | 'csv'
export interface NewReport { last: string, formats: ReportFormat[], name: string, zone: string, short: boolean, redact: boolean }
export interface Report {
  id: string
  name: string
  who: string
  made: number
  start: number
  stop: number
  zone: string
  summary: string
  score: number | null
  files: Record<string, number>
  problem: string
}
export interface Risk { id: string, severity: Severity, title: string, why: string, mend: string }
export interface Service {
  name: string
  product?: string
  version?: string
  how?: string
  confidence?: number
  tls?: boolean
  banner?: string
  details?: Record<string, string>
  risks?: Risk[]
}
export interface ScannedPort { address: string, proto: string, port: number, state: string, reason?: string, rtt_ms?: number, service?: Service }
export interface ScannedHost { address: string, name?: string, mac?: string, up_by?: string, rtt_ms?: number, os_hint?: string, counts?: Record<string, number> }
export interface ScanSummary {
  id: string
  started: number
  ended: number
  state: string
  who: string
  targets: string[]
  ports: string
  hosts: number
  open: number
}
export interface Change { what: string, address: string, text: string, since: string }
export interface Scan extends Omit<ScanSummary, 'hosts' | 'open' | 'who'> {
  options: Record<string, string>
  sent?: number
  answered?: number
  loss?: number
  hosts?: ScannedHost[]
  found?: ScannedPort[]
  changes: Change[]
}
export interface NewScan { targets: string[], ports: string, udp: boolean, method: string, discovery: boolean, permitted: boolean }

export interface Me { name: string, role: Role, csrf: string, until: number, version: string }

export interface Interface {
  name: string
  state: string
  up: boolean
  addresses: string[]
  pps: number | null
  bps: number | null
  drops: number | null
  selected: boolean
}

export interface Capture {
  state: 'running' | 'stopped' | 'failed' | 'demo'
  interfaces: Interface[]
  error: { title: string, detail: string, where: string, fix: { text: string, cmd: string }[] | string } | null
  since: number | null
  demo: boolean
}

export interface Talker { ip: string, name: string, local: boolean, bytes_in: number, bytes_out: number, flows: number }
export interface Protocol { key: string, label: string, bytes: number, pkts: number }
export interface Deduction {
  id: string
  label: string
  points: number
  cap: number
  count: number
  q: string
  table?: 'alerts' | 'events'
}
export interface Score { score: number | null, reason: string, window_s?: number, deductions: Deduction[] }
export interface Threats { by_kind: Record<string, number>, by_severity: Record<string, number> }
export interface Gap { what: string, from: number, to: number, process: string }

export interface Latest {
  drops: Record<string, number>
  top: Talker[]
  protocols: Protocol[]
  score: Score
  threats: Threats
  inbox: { rev: number }
  packets_total: number | null
}

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

export interface Row {
  ts: number
  event_type: string
  severity: Severity
  src_ip: string
  src_port: number | null
  dest_ip: string
  dest_port: number | null
  proto: string
  details: string
  flow_id: number | null
  alert_id: string | null
}
export interface RowsFrame { seq: number, seen: number, shown: number, rule: 'all' | 'sample', cols: string[], rows: unknown[][] }

export interface EventPage {
  items: Row[]
  next: string | null
  total: number | null
  took_ms: number
  from: string
  to: string
  without: { piece: string, rest: string, total: number }[]
}

export interface End { ip: string, port: number, name: string, local: boolean }
export interface Evidence {
  label: string
  count: number | null
  measured: number | null
  threshold: number | null
  unit: string
  q: string
}
export interface Alert {
  id: string
  rule: string
  kind: string
  title: string
  severity: Severity
  confidence: number
  state: string
  count: number
  rev: number
  first: string
  last: string
  src: End
  dst: End
  proto: string
  actors: string[]
  victims: string[]
  techniques: string[]
  flow_ids: number[]
  notes: { ts: string, who: string, state: string, text: string }[]
  has_packets?: boolean
  explain: {
    what: string
    why: string
    sure: { pct: number, for: string[], against: string[], benign: string[] }
    next: { text: string, cmd: string, href: string }[]
    evidence: Evidence[]
  }
}
export interface AlertPage {
  items: Alert[]
  total: number
  by_severity: Record<string, number>
  by_kind: Record<string, number>
  rev: number
}
export interface LogCounts { rows: number, flows: number, alerts: number, from: number, to: number }

export interface Verdict { id: string, state: 'ok' | 'note' | 'warn' | 'fail' | 'unknown', text: string, mend: string }
export interface ProcessHealth { name: string, pid: number | null, alive: boolean, restarts: number, rss_bytes: number, cpu_pct: number | null }
export interface MachineHealth {
  cpu_ratio: number | null
  load_1min: number
  memory_used_bytes: number
  memory_total_bytes: number
  disk_used_bytes: number
  disk_free_bytes: number
  disk_total_bytes: number
  temperature_c: number | null
  clock_synchronised: boolean | null
}
export interface InterfaceHealth {
  name: string
  up: boolean
  enabled: boolean
  mtu: number
  speed_mbit: number
  counters: { errors_in: number, errors_out: number, drops_in: number, drops_out: number }
  rates: { bytes_in: number, bytes_out: number, packets_in: number, packets_out: number } | null
}
export interface ProbeWindow { sent: number, lost: number, late: number, p50_ms: number | null, p95_ms: number | null, max_ms: number | null, loss: number | null }
export interface Probe {
  name: string
  address: string
  role: string
  method: string
  answered: boolean
  jitter_ms: number | null
  raised: string[]
  minute: ProbeWindow
  quarter: ProbeWindow
}
export interface LogLine { ts: string, level: string, part: string, message: string }
export interface Health {
  verdicts: Verdict[]
  processes: ProcessHealth[]
  queues: Record<string, { waiting: number, shed: number }>
  store: { state?: string, bulk_bytes?: number, rows_stored?: number, free_bytes?: number, errors?: number }
  machine: MachineHealth | null
  interfaces: InterfaceHealth[]
  probes: Probe[]
  resolver: { address?: string, time_ms?: number | null } | null
  forecast: { days_left: number | null, bytes_a_day: number | null, level: string, reason: string } | null
  log: LogLine[] | null
  fault: { title: string, where: string, mend: string } | null
}
/** Name of a series -> its [s UTC, value], oldest first. */
export type HealthHistory = Record<string, [number, number][]>
