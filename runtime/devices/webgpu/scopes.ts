/**
 * Errors that WebGPU reports later, kept with the call that caused them.
 *
 *     const { made, error } = scopes.watch(() => gpu.createBuffer(…))
 *     await error                                                         what the device found wrong with it, if anything
 *
 * Scopes are a stack of the device: they are opened and closed around what is called at once, never across a wait.
 */
const filters = ["validation", "out-of-memory", "internal"] as const

export interface Watched<T> {
  readonly made: T
  /** Never rejects. */
  readonly error: Promise<GPUError | undefined>
}

/** Calls `make`; its error comes when the device has looked at it. */
export function watch<T>(device: GPUDevice, make: () => T): Watched<T> {
  for (const filter of filters) device.pushErrorScope(filter)
  try {
    const made = make()
    return { made, error: close(device) }
  } catch (error) {
    close(device)
    throw error
  }
}

async function close(device: GPUDevice): Promise<GPUError | undefined> {
  // A lost device has no scopes to close; its loss is told by itself.
  const found = await Promise.all(filters.map(() => device.popErrorScope().catch(() => null)))
  return found.find((error) => error !== null) ?? undefined
}
