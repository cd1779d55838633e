/**
 * Kernels on the device: binaries loaded once each, functions by name.
 *
 *     { image, kernels: [0, 3] }   →   module, k0 and k3 in it, with as much shared memory as they ask for
 */
import { createHash } from "node:crypto"
import type { ArtifactKernel, ArtifactMatrix } from "../../artifact.js"
import { WeftError } from "../../errors.js"
import type { CompiledKernel } from "../device.js"
import type { LoadableModule } from "./compilers/modules.js"
import type { Driver } from "./driver.js"

export interface CudaKernel extends CompiledKernel {
  readonly handle: number
  readonly bindings: number
  readonly threads: number
  readonly sharedBytes: number
  readonly early: boolean
  readonly matrices: readonly ArtifactMatrix[]
  readonly binary: Binary
}

/** A binary that is loaded, and by how many. */
interface Binary {
  readonly key: string
  readonly module: number
  readonly handles: Map<string, number>
  users: number
}

function raise({ name }: ArtifactKernel): never {
  throw new WeftError("cuda/arch", `no binary holds kernel '${name}'`)
}

/** What a launch may have without being allowed more. */
const freeSharedBytes = 48 << 10

export interface Kernels {
  /** One for each kernel, in their order. */
  load(kernels: readonly ArtifactKernel[], modules: readonly LoadableModule[]): readonly CudaKernel[]
  /** Gives back what one `load` gave. Nothing of it may run. */
  unload(kernels: readonly CudaKernel[]): void
  /** A function of a binary. */
  find(image: Uint8Array, symbol: string): number
  free(): void
}

/** `early`: whether the device starts launches before the ones before have ended. */
export function createKernels(
  driver: Driver,
  { early, made, giveBack }: { early: boolean; made: () => void; giveBack: (call: () => void) => void },
): Kernels {
  /** By their content: models that are loaded twice share theirs. */
  const loaded = new Map<string, Binary>()

  const binaryOf = (image: Uint8Array): Binary => {
    const key = createHash("sha256").update(image).digest("hex")
    const binary = loaded.get(key) ?? { key, module: driver.loadModule(image), handles: new Map(), users: 0 }
    binary.users++
    loaded.set(key, binary)
    return binary
  }
  const handleOf = ({ module, handles }: Binary, symbol: string): number => {
    const known = handles.get(symbol)
    if (known !== undefined) return known
    const handle = driver.kernel(module, symbol)
    handles.set(symbol, handle)
    made()
    return handle
  }
  return {
    find: (image, symbol) => driver.kernel(binaryOf(image).module, symbol),
    load(kernels, modules) {
      const made = new Map<number, CudaKernel>()
      for (const { image, kernels: numbers, early: waits, spilling } of modules) {
        const binary = binaryOf(image)
        for (const i of numbers) {
          const {
            name,
            symbol = "",
            bindings,
            threads,
            sharedBytes = 0,
            early: asked = false,
            matrices = [],
          } = kernels[i]!
          const handle = handleOf(binary, symbol)
          if (sharedBytes > freeSharedBytes) driver.allowShared(handle, sharedBytes)
          const spills = spilling?.has(symbol) === true ? ({ spills: true } as const) : {}
          const own = { name, handle, bindings: bindings.length, threads, sharedBytes, matrices, ...spills }
          made.set(i, { ...own, early: early && waits && asked, binary })
        }
      }
      return kernels.map((k, i) => made.get(i) ?? raise(k))
    },
    unload(kernels) {
      for (const binary of new Set(kernels.map((k) => k.binary))) {
        if (--binary.users > 0 || !loaded.delete(binary.key)) continue
        giveBack(() => driver.unloadModule(binary.module))
      }
    },
    free() {
      for (const { module } of loaded.values()) giveBack(() => driver.unloadModule(module))
      loaded.clear()
    },
  }
}
