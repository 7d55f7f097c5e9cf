/** The same on the command line: what a person would type for what the page does. */

export const SNAPLEN_MAX = 262_144 // everything of a packet
export const RING_MB = 32 // as the settings have it

/** A word of a command, quoted where a shell would take it apart. */
export const quoted = (text: string) => (/^[\w.:/@%+=,-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`)

/** `nsm run` on an interface; what is as usual is left out. */
export function runCommand(iface: string, filter: string, snaplen: number, ring: number): string {
  return [
    'sudo', ...(filter ? [`NSM_CAPTURE__FILTER=${quoted(filter)}`] : []),
    ...(snaplen < SNAPLEN_MAX ? [`NSM_CAPTURE__SNAPLEN=${snaplen}`] : []), ...(ring !== RING_MB ? [`NSM_CAPTURE__RING_MB=${ring}`] : []),
    'nsm run', ...(iface ? ['-i', quoted(iface)] : []),
  ].join(' ')
}

/** `nsm capture` with the limits of a recording. */
export function captureCommand(one: { iface: string, seconds: number, megabytes: number, filter: string, snaplen: number }): string {
  return [
    'sudo nsm capture -i', quoted(one.iface || 'eth0'), '-w', quoted(`${one.iface || 'eth0'}.pcapng`), `--for ${one.seconds}s --size ${one.megabytes}M`,
    ...(one.filter ? ['--filter', quoted(one.filter)] : []), ...(one.snaplen < SNAPLEN_MAX ? [`--snaplen ${one.snaplen}`] : []),
  ].join(' ')
}

/** `nsm read` of a file. */
export const readCommand = (name: string) => `nsm read ${quoted(name)}`
