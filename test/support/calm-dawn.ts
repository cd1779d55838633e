/**
 * Dawn for Node asks in a closed circle of `setImmediate` whether work is done. Where the adapter is software, that work is done by the same
 * cores, so that half of the processor's time goes into the question. Here each question of Dawn's comes a millisecond after the one before:
 * its functions are native ones, and those of all others are left as they are.
 */
const pause = 1
const nothing = new Int32Array(new SharedArrayBuffer(4))
const native = /\{\s*\[native code\]\s*\}$/

type Immediate = typeof setImmediate
interface Calm extends Immediate {
  calm?: true
}

/** Once for each process, which files share. */
export function calmDawn(): void {
  const given: Calm = globalThis.setImmediate
  if (given.calm === true) return
  const calmed = (callback: (...rest: unknown[]) => void, ...rest: unknown[]) => {
    if (!native.test(Function.prototype.toString.call(callback))) return given(callback, ...rest)
    return given(() => {
      Atomics.wait(nothing, 0, 0, pause)
      callback(...rest)
    })
  }
  globalThis.setImmediate = Object.assign(calmed, given, { calm: true as const })
}
