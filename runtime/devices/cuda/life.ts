/**
 * How a device ends: by a fault of a kernel, which some later call tells, or by being disposed of. From then on every call is refused, and what
 * waits is rejected.
 *
 *     driver.zero(…)   →   CUDA_ERROR_ILLEGAL_ADDRESS (700)   →   WeftError device/lost; lost resolves
 */
import { WeftError } from "../../errors.js"
import { type Driver, isSticky } from "./driver.js"

/** What is left to a process after a fault: CUDA's manual has it end. */
const only = "CUDA works in this one no more, though other devices do"

/**
 * After a fault the driver makes no context for this process, whatever is given back.
 *
 * @throws WeftError `device/lost`, and what the driver says
 */
export function createContext(driver: Driver, device: number): number {
  try {
    return driver.createContext(device)
  } catch (cause) {
    if (!isSticky(cause)) throw cause
    const reason = `CUDA makes no device for a process in which a kernel faulted (${(cause as WeftError).reason})`
    throw new WeftError("device/lost", reason, { hint: `start a new process: ${only}`, cause })
  }
}

export type Life = ReturnType<typeof createLife>

/** Whether a device can be used, and the calls of a driver that find out that it cannot. */
export function createLife(native: Driver, context: number) {
  let reason: string | undefined
  let disposed = false
  let resolve: (reason: string) => void = () => {}
  const lost = new Promise<string>((r) => {
    resolve = r
  })
  const endings: ((error: WeftError) => void)[] = []
  const refusal = () =>
    disposed
      ? new WeftError("device/lost", "this device has been disposed of")
      : new WeftError("device/lost", `the device was lost (${reason})`, {
          hint: `what it held is gone: start a new process, for ${only}`,
        })
  const end = (why: string) => {
    reason ??= why
    resolve(reason)
    for (const ending of endings) ending(refusal())
  }
  const failed = (error: unknown): unknown => {
    if (!isSticky(error)) return error
    end((error as WeftError).reason)
    return refusal()
  }
  const driver = heard(native, failed)
  return {
    lost,
    /** The same calls; what fails for good ends the device. */
    driver,
    /** Called with what is to be told to everyone who waits, when it ends. */
    atEnd: (ending: (error: WeftError) => void) => endings.push(ending),
    /** Makes the context the thread's current one. @throws WeftError `device/lost` */
    alive() {
      if (disposed || reason !== undefined) throw refusal()
      driver.useContext(context)
    },
    /** Makes a call that may fail where nothing is left. */
    giveBack(call: () => void) {
      try {
        native.useContext(context)
        call()
      } catch {
        // It went with the context.
      }
    },
    over: (): boolean => disposed || reason !== undefined,
    /** False when it was so before. */
    dispose(): boolean {
      const first = !disposed
      disposed = true
      if (first) end("this device has been disposed of")
      return first
    },
  }
}

function heard(driver: Driver, failed: (error: unknown) => unknown): Driver {
  const calls = Object.entries(driver).map(([name, call]: [string, (...given: never[]) => unknown]) => [
    name,
    (...given: never[]) => {
      try {
        const found = call(...given)
        return found instanceof Promise ? found.catch((error: unknown) => Promise.reject(failed(error))) : found
      } catch (error) {
        throw failed(error)
      }
    },
  ])
  return Object.fromEntries(calls) as Driver
}
