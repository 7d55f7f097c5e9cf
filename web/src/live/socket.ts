import { io, type Socket } from 'socket.io-client'

/** Opens the live connection; `auth` is asked anew for every try, since it says what the page has already. */
export function openSocket(auth: () => object): Socket {
  return io({
    transports: ['websocket', 'polling'],
    auth: (send) => send(auth()),
    reconnectionDelay: 500,
    reconnectionDelayMax: 2000,
    randomizationFactor: 0.3,
    timeout: 5000,
  })
}

export type { Socket }
