/** Fixed colours of protocols: a series keeps its colour for its identity, never for its rank. */
const COLORS: Record<string, string> = {
  tls: 'blue', https: 'blue', http: 'orange', quic: 'sky', ssh: 'brown', rdp: 'brown', vnc: 'brown', telnet: 'brown',
  dns: 'yellow', mdns: 'yellow', smb: 'pink', smtp: 'pink', imap: 'pink', nfs: 'pink', ftp: 'pink', mail_files: 'pink',
  tcp: 'violet', other_tcp: 'violet', udp: 'teal', other_udp: 'teal', rtp: 'teal',
}

export const seriesColor = (key: string) => `var(--series-${COLORS[key.toLowerCase()] ?? 'other'})`
