/**
 * One call at a time on a session, and waiting for the device no longer than a caller wants: a read may not come back for seconds, or ever.
 *
 *     await calls.enter(signals)                         refused while another is under way
 *     const bytes = await calls.read("states.token", 4, signals)     undefined as soon as a signal aborts; the read goes on by itself
 *     calls.leave()
 *
 * What an aborted call left on the device is waited for by the next one, for some seconds, in software for a minute; then the device counts as stuck.
 */
import { WeftError } from "../errors.js"
import type { Session } from "../session.js"

type Signals = readonly (AbortSignal | undefined)[]

/** Milliseconds that a call waits for what an aborted one left on the device: a processor that runs shaders, in use besides, may take tens of seconds. */
const patienceFor = ({ fallback }: Session["device"]): number => (fallback ? 60_000 : 3000)

export interface ExclusiveCalls {
  /**
   * Returns also when a signal aborts while it waits.
   *
   * @throws WeftError `generate/busy`, `generate/disposed`
   */
  enter(signals?: Signals): Promise<void>
  leave(): void
  /** Makes ready what runs where these entries are asked for; returns also when a signal aborts. */
  prepare(entries: readonly string[], symbols: Readonly<Record<string, number>>, signals?: Signals): Promise<void>
  /** The bytes as what was run so far left them, whatever is run next. */
  read(buffer: string, bytes: number, signals?: Signals): Promise<Uint8Array | undefined>
  /** Lets a read go that nobody waits for any more. */
  leaveBehind(read: Promise<unknown>): void
  /** No call enters any more; false when that was so before. */
  dispose(): boolean
}

export function exclusiveCalls(session: Session): ExclusiveCalls {
  let busy = false
  let disposed = false
  /** Reads that were not waited for. */
  const left = new Set<Promise<unknown>>()

  const refuseDisposed = () => {
    if (disposed) throw new WeftError("generate/disposed", "the model is disposed of")
  }
  const settled = async (signals: Signals) => {
    let timer: ReturnType<typeof setTimeout> | undefined
    const stuck = new Promise<"stuck">((resolve) => {
      timer = setTimeout(() => resolve("stuck"), patienceFor(session.device))
    })
    const found = await heed(Promise.race([Promise.all(left), stuck]), signals)
    clearTimeout(timer)
    refuseDisposed()
    if (found === "stuck")
      throw new WeftError("generate/busy", "the device has not come back from a call that was aborted", {
        hint: "wait, or dispose of the model and load it again",
      })
  }
  const leaveBehind = (work: Promise<unknown>) => {
    const rest: Promise<unknown> = work.catch(() => {}).then(() => left.delete(rest))
    left.add(rest)
  }
  return {
    leaveBehind,
    async enter(signals = []) {
      refuseDisposed()
      if (busy)
        throw new WeftError("generate/busy", "the model is generating; it does one thing at a time", {
          hint: "finish the generation before, or break out of its loop, or load the model twice",
        })
      busy = true
      if (left.size === 0) return
      try {
        await settled(signals)
      } catch (error) {
        busy = false
        throw error
      }
    },
    leave() {
      busy = false
    },
    async prepare(entries, symbols, signals = []) {
      await heed(session.prepare(entries, symbols), signals)
    },
    async read(buffer, bytes, signals = []) {
      const work = session.read(buffer, bytes)
      const found = await heed(work, signals)
      if (found === undefined) leaveBehind(work)
      return found
    },
    dispose() {
      const first = !disposed
      disposed = true
      return first
    },
  }
}

const notYet = Symbol("not yet")
const atOnce = Promise.resolve(notYet)

const isAborted = (signals: Signals) => signals.some((signal) => signal?.aborted === true)

/** What `work` gives, or undefined as soon as a signal aborts. */
async function heed<T>(work: Promise<T>, signals: Signals): Promise<T | undefined> {
  if (signals.length === 0) return work
  // What is there already, as on a device that runs at once, is not worth a listener: it takes longer than all else that a token costs the host.
  if (!isAborted(signals)) {
    const found = await Promise.race([work, atOnce])
    if (found !== notYet) return found as T
  }
  let end: () => void = () => {}
  const aborted = new Promise<undefined>((resolve) => {
    end = () => resolve(undefined)
  })
  // A signal that is not the platform's own may have nothing but `aborted`.
  for (const signal of signals) signal?.addEventListener?.("abort", end)
  if (isAborted(signals)) end()
  try {
    return await Promise.race([work, aborted])
  } finally {
    for (const signal of signals) signal?.removeEventListener?.("abort", end)
  }
}
