/**
 * What an interpreted program may not do. The text names the array and the index:
 *
 *   KernelFault("range", "index 12 of axis 0 of 'keys' is outside of its 12 elements")
 */
export type KernelFaultCode =
  | "range" /* a load or store outside of a buffer's capacity, or a read of a tensor outside of its extent */
  | "local-range" /* a read of a local outside of its axes */
  | "slot" /* a component's slot outside of the ranks */
  | "twice" /* two stores without a monoid to one element */
  | "binding" /* a buffer or symbol is missing or does not fit */
  | "malformed" /* what the verifier would have refused */

export class KernelFault extends Error {
  readonly code: KernelFaultCode

  constructor(code: KernelFaultCode, message: string) {
    super(message)
    this.name = "KernelFault"
    this.code = code
  }
}
