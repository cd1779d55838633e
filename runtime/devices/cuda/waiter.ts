/**
 * Waits for what is in a stream, in its order, on a thread aside: one wait at a time, for the oldest event.
 *
 *     copy 1 │ event 1 │ kernels │ copy 2 │ event 2 │ …         reached() of event 1 resolves while the kernels run
 */
import type { Driver } from "./driver.js"

export interface Waiter {
  /**
   * Calls `then` as soon as everything is done that is in the stream now, and resolves with what it gives; rejects with what the device says, or
   * with the reason of `end`.
   */
  reached<T>(then: () => T): Promise<T>
  /** Rejects what waits. */
  end(reason: Error): void
  /** Resolves when no thread waits any more, and events are given up. */
  close(): Promise<void>
}

interface Waiting {
  readonly event: number
  readonly settle: () => void
  readonly reject: (error: unknown) => void
}

/** `giveBack` makes calls that may fail on a device that is lost. */
export function createWaiter(
  driver: Pick<Driver, "createEvent" | "destroyEvent" | "record" | "isDone" | "whenDone">,
  stream: number,
  giveBack: (call: () => void) => void,
): Waiter {
  const events: number[] = []
  const queue = createQueue(driver, (event) => events.push(event))
  let ended: Error | undefined
  return {
    async reached<T>(then: () => T) {
      if (ended !== undefined) throw ended
      const event = events.pop() ?? driver.createEvent()
      driver.record(event, stream)
      return new Promise<T>((resolve, reject) => {
        const settle = () => {
          try {
            resolve(then())
          } catch (error) {
            reject(error)
          }
        }
        queue.add({ event, settle, reject })
      })
    },
    end(reason) {
      ended ??= reason
      queue.end(ended)
    },
    async close() {
      await queue.idle()
      for (const event of events.splice(0)) giveBack(() => driver.destroyEvent(event))
    },
  }
}

/** What waits, in its order; `done` gets the events that nobody waits for any more. */
function createQueue(driver: Pick<Driver, "isDone" | "whenDone">, done: (event: number) => void) {
  const queue: Waiting[] = []
  let under: Promise<void> | undefined

  const settleDone = () => {
    do {
      const { event, settle } = queue.shift()!
      done(event)
      settle()
    } while (queue.length > 0 && driver.isDone(queue[0]!.event))
  }
  const end = (reason: unknown) => {
    for (const { event, reject } of queue.splice(0)) {
      done(event)
      reject(reason)
    }
  }
  const next = async () => {
    try {
      await driver.whenDone(queue[0]!.event)
      if (queue.length > 0) settleDone()
    } catch (error) {
      end(error)
    }
  }
  const work = () => {
    under = next().then(() => {
      under = undefined
      if (queue.length > 0) work()
    })
  }
  return {
    add(waiting: Waiting): void {
      queue.push(waiting)
      if (under === undefined) work()
    },
    end,
    /** Resolves when no thread waits. */
    async idle(): Promise<void> {
      while (under !== undefined) await under
    },
  }
}
