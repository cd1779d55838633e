/**
 * The workers as those who get messages and answer them; when one is gone, so is the crew: what waits rejects, the others are ended.
 *
 *     await crew.ask((worker) => ({ module, names }))      all have answered "ready", or WeftError `wasm/worker-failed`
 */
import { WeftError } from "../../errors.js"
import type { WorkerLike } from "./spawn.js"

/** Milliseconds without an answer after which a worker that tells its end is given up, and one that cannot. */
const silence = { telling: 60_000, mute: 2_000 } as const
export interface Crew<Message> {
  /** @throws WeftError `wasm/worker-failed` when a worker is gone */
  check(): void
  /** Sends each worker its message (they count from 1) and waits until all have answered. */
  ask(messageOf: (worker: number) => Message): Promise<void>
  /** Waits for something that workers do, as long as none is gone and none is silent for too long; `given.up` tells when to stop. */
  within(what: string, wait: (given: { readonly up: boolean }) => Promise<unknown>): Promise<void>
  /** Ends all. */
  dismiss(): void
}

/** `onLost` is called once when a worker is gone that was not dismissed. */
export function createCrew<Message>(workers: readonly WorkerLike[], onLost: (reason: string) => void): Crew<Message> {
  const most = workers.every((w) => w.onExit !== undefined) ? silence.telling : silence.mute
  const answers: ((answer: unknown) => void)[] = workers.map(() => () => {})
  let failure: WeftError | undefined
  let reject: (failure: WeftError) => void = () => {}
  const gone = new Promise<never>((_, refuse) => {
    reject = refuse
  })
  gone.catch(() => {})
  const dismiss = (reason: string) => {
    if (failure !== undefined) return
    failure = new WeftError("wasm/worker-failed", reason, {
      hint: "open the device again, with fewer threads if it recurs",
    })
    reject(failure)
    for (const w of workers) w.terminate()
  }
  const fail = (reason: string) => {
    if (failure !== undefined) return
    dismiss(reason)
    onLost(reason)
  }
  let started = false
  for (const [i, w] of workers.entries()) {
    w.onMessage((answer) => answers[i]!(answer))
    w.onError((reason) => fail(started ? `a worker failed: ${reason}` : `a worker did not start: ${reason}`))
    w.onExit?.((reason) => fail(`a worker ended: ${reason}`))
  }
  const within = async (what: string, wait: (given: { readonly up: boolean }) => Promise<unknown>): Promise<void> => {
    const given = { up: false }
    // The timer keeps the process alive meanwhile; workers themselves do not.
    const timer = setTimeout(() => fail(`a worker ${what}`), most)
    try {
      await Promise.race([gone, wait(given)])
    } finally {
      given.up = true
      clearTimeout(timer)
    }
    check()
  }
  const check = () => {
    if (failure !== undefined) throw failure
  }
  return {
    check,
    within,
    dismiss: () => dismiss("the device was disposed of"),
    ask: async (messageOf: (worker: number) => Message) => {
      check()
      await within(started ? "does not take a module" : "did not start: it does not answer", () =>
        Promise.all(
          workers.map(async (w, i) => {
            const answered = new Promise((resolve) => {
              answers[i] = resolve
            })
            w.postMessage(messageOf(i + 1))
            const answer = await answered
            if (answer !== "ready") fail(`a worker did not start: ${answer}`)
          }),
        ),
      )
      started = true
    },
  }
}
