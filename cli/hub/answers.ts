/**
 * What the Hub answers, and what is done about it: busy and broken servers are asked again, the rest is told.
 *
 *     404  →  hub/missing        401, 403  →  hub/access        429  →  asked again, then hub/busy        5xx  →  asked again, then hub/server
 */
import { setTimeout as sleep } from "node:timers/promises"
import { printable, WeftError } from "../../runtime/errors.js"
import type { Hub, Repository } from "./repository.js"

/** How long and how often is waited; tests wait less. */
export interface Patience {
  /** Times that a thing is asked for, or a file goes on, without a byte more. */
  readonly attempts: number
  /** Before the second attempt, twice as long before each after it. */
  readonly firstMs: number
  /** Without a byte. */
  readonly stallMs: number
}

export const patience: Patience = { attempts: 6, firstMs: 500, stallMs: 30_000 }
const longestMs = 60_000

/** An answer after which it may go better, after a while. */
class Again extends Error {
  readonly told: WeftError
  readonly waitMs: number | undefined
  constructor(told: WeftError, waitMs?: number) {
    super(told.message)
    this.told = told
    this.waitMs = waitMs
  }
}

/** Asks one Hub for one repository. */
export interface Asker {
  readonly fetch: typeof fetch
  /**
   * Does a thing that fetches, and again after a while where it may go better; `moved` says whether the last attempt brought anything, which
   * starts the count anew.
   */
  readonly again: <T>(act: () => Promise<T>, moved?: () => boolean) => Promise<T>
  /** For what ends without an answer, to be thrown inside of `again`. */
  readonly broken: (why: string) => Error
}

export function askerOf(hub: Hub, repository: Repository, patience: Patience): Asker {
  // Streams of the library end in the words of an error, not in the error.
  let last: Error | undefined
  let isReached = false
  const fetched = fetchFrom(hub, repository, patience)
  return {
    broken: (why) => new Again(unreachable(hub, why)),
    async fetch(url, init) {
      last = undefined
      try {
        const response = await fetched(url, init)
        isReached = true
        return response
      } catch (error) {
        last = error as Error
        throw error
      }
    },
    async again(act, moved = () => false) {
      for (let failed = 0; ; ) {
        last = undefined
        try {
          return await act()
        } catch (cause) {
          const error = last ?? cause
          if (error instanceof WeftError) throw error
          if (moved()) failed = 0
          failed++
          const { told, waitMs } = error instanceof Again ? error : new Again(unreachable(hub, reasonOf(error), error))
          // Where there is no network at all, waiting is for nothing.
          if (failed >= patience.attempts || (!isReached && told.code === "hub/network" && waitMs !== 0)) throw told
          await sleep(Math.min(longestMs, waitMs ?? patience.firstMs * 2 ** (failed - 1)))
        }
      }
    },
  }
}

/** `fetch` that ends when nothing comes for a while, and throws for every answer that is no good one. */
function fetchFrom(hub: Hub, repository: Repository, { stallMs }: Patience): typeof fetch {
  return async (url, init) => {
    const stalled = new AbortController()
    const timer = setTimeout(() => stalled.abort(), stallMs)
    let response: Response
    try {
      response = await fetch(url, { ...init, signal: stalled.signal })
    } catch (cause) {
      if (stalled.signal.aborted) throw new Again(unreachable(hub, `no answer for ${stallMs / 1000} s`, cause), 0)
      throw new Again(unreachable(hub, reasonOf(cause), cause))
    } finally {
      clearTimeout(timer)
    }
    if (response.ok) return ranged(hub, response, new Headers(init?.headers).get("range"))
    const entry = response.headers.get("x-error-code") === "EntryNotFound"
    // The library takes it for a file that is not there.
    if (response.status === 404 && entry) return response
    await response.body?.cancel()
    throw refusal(hub, repository, response)
  }
}

/** A part was asked for: the whole would be taken for it. */
function ranged(hub: Hub, response: Response, range: string | null): Response {
  const start = Number(/^bytes=(\d+)-/.exec(range ?? "")?.[1] ?? 0)
  if (start === 0 || response.status === 206) return response
  throw new WeftError("hub/response", `${hub.endpoint} sends whole files where a part is asked for`, {
    hint: "remove what ends in .incomplete from the cache folder and pull again, or ask another HF_ENDPOINT",
  })
}

function refusal(hub: Hub, { name, revision }: Repository, response: Response): Error {
  const { status } = response
  const shown = printable(`${name}@${revision}`)
  if (status === 404)
    return new WeftError("hub/missing", `${shown} is neither a folder here nor a model on ${hub.endpoint}`, {
      hint: "check the name and the revision; a folder is named by its path, such as ./models/name",
    })
  if (status === 401 || status === 403)
    return new WeftError("hub/access", `${hub.endpoint} does not let you have ${shown} (${status})`, {
      hint:
        hub.token === undefined
          ? "there is no such model, or it is private or gated: accept its terms on its page and set HF_TOKEN, or run hf auth login"
          : "accept its terms on its page with the account of your token, or give another in HF_TOKEN",
    })
  if (status === 429)
    return new Again(
      new WeftError("hub/busy", `${hub.endpoint} is asked too often (429)`, {
        hint: "wait some minutes; with HF_TOKEN set more is allowed. What was fetched is kept",
      }),
      secondsAfter(response),
    )
  const broken = new WeftError("hub/server", `${hub.endpoint} answers ${status} for ${shown}`, {
    hint: "try again later; what was fetched is kept",
  })
  return status >= 500 || status === 408 ? new Again(broken, secondsAfter(response)) : broken
}

function secondsAfter(response: Response): number | undefined {
  const said = response.headers.get("retry-after") ?? ""
  return /^\d+$/.test(said) ? Number(said) * 1000 : undefined
}

const unreachable = (hub: Hub, why: string, cause?: unknown): WeftError =>
  new WeftError("hub/network", `${hub.endpoint} cannot be reached: ${printable(why)}`, {
    hint: "check the connection, a proxy or HF_ENDPOINT; what was fetched is kept",
    cause,
  })

/** The words of what is at the bottom of an error: of fetch "fetch failed" says nothing. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? reasonOf(error.cause) : error.message
}
