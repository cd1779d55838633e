/**
 * A turn of the event loop. Kernels on WebAssembly run on this thread, so that without one between steps no timer, no signal and no
 * writer of the host would run before the end.
 */

const channel = typeof setImmediate === "function" ? undefined : new MessageChannel()
const waiting: (() => void)[] = []
if (channel !== undefined) channel.port1.onmessage = () => waiting.shift()?.()

/** Resolves after everything that waits in the event loop has run; in a page without the 4 ms that a timer takes. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (channel === undefined) setImmediate(resolve)
    else {
      waiting.push(resolve)
      channel.port2.postMessage(undefined)
    }
  })
}
