/** What GPUs are like, by what the driver says of them. */
import { archOf } from "./compilers/architectures.js"
import { attributes, type Driver } from "./driver.js"
import { loadDriver } from "./signatures.js"

/** What the hardware is like. */
export interface CudaFacts {
  readonly name: string
  /** What kernels are compiled for: sm_90a */
  readonly arch: string
  /** 13000 is 13.0. */
  readonly driver: number
  readonly multiprocessors: number
  readonly l2Bytes: number
  /** Shared memory that a block may have, and that its multiprocessor has. */
  readonly sharedBytes: number
  readonly sharedBytesOfMultiprocessor: number
  readonly registersOfMultiprocessor: number
  /** Bytes. */
  readonly memory: number
}

/**
 * What the machine's devices are like, in the order of their numbers.
 *
 * @throws WeftError `cuda/missing`, `cuda/driver`
 */
export async function cudaDevices(): Promise<readonly CudaFacts[]> {
  const driver = await loadDriver()
  return Array.from({ length: driver.deviceCount() }, (_, ordinal) => factsOf(driver, driver.device(ordinal)))
}

export function factsOf(driver: Driver, device: number): CudaFacts {
  const of = (name: keyof typeof attributes) => driver.attribute(device, attributes[name])
  return {
    name: driver.deviceName(device),
    arch: archOf(of("major"), of("minor")),
    driver: driver.version(),
    multiprocessors: of("multiprocessors"),
    l2Bytes: of("l2Bytes"),
    sharedBytes: of("sharedBytesOfBlock"),
    sharedBytesOfMultiprocessor: of("sharedBytesOfMultiprocessor"),
    registersOfMultiprocessor: of("registersOfMultiprocessor"),
    memory: driver.totalMemory(device),
  }
}
