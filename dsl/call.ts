/** Repeated units. */
import { tracing } from "./attach.js"
import type { Tree } from "./tensor.js"

/**
 * Applies `fn` as a repeated unit: layers of one structure are compiled once, however many there are.
 *
 * @throws `trace/argument` when `fn` is no function, or what it returns holds no tensor
 * @throws `trace/capture` when it reads a tensor that is not among its arguments
 */
export function call<A extends readonly Tree[], R extends Tree>(fn: (...args: A) => R, ...args: A): R {
  return tracing().call(fn, args)
}
