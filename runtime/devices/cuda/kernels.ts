/**
 * Kernels on the device: binaries loaded once each, functions by name.
 *
 *     { image, kernels: [0, 3] }   →   module, k0 and k3 in it, with as much shared memory as they ask for
 */
import { createHash } from "node:crypto"
import type { ArtifactKernel } from "../../artifact.js"
import { WeftError } from "../../errors.js"
import type { CompiledKernel } from "../device.js"
import type { Driver } from "./driver.js"
import type { LoadableModule } from "./modules.js"

export interface CudaKernel extends CompiledKernel {
  readonly handle: number
  readonly bindings: number
  readonly threads: number
  readonly sharedBytes: number
  readonly early: boolean
}

function raise({ name }: ArtifactKernel): never {
  throw new WeftError("cuda/arch", `no binary holds kernel '${name}'`)
}

/** What a launch may have without being allowed more. */
const freeSharedBytes = 48 << 10

export interface Kernels {
  /** One for each kernel, in their order. */
  load(kernels: readonly ArtifactKernel[], modules: readonly LoadableModule[]): readonly CudaKernel[]
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
  const loaded = new Map<string, { readonly module: number; readonly handles: Map<string, number> }>()

  const moduleOf = (image: Uint8Array) => {
    const key = createHash("sha256").update(image).digest("hex")
    const known = loaded.get(key)
    if (known !== undefined) return known
    const module = { module: driver.loadModule(image), handles: new Map<string, number>() }
    loaded.set(key, module)
    return module
  }
  const handleOf = ({ module, handles }: ReturnType<typeof moduleOf>, symbol: string): number => {
    const known = handles.get(symbol)
    if (known !== undefined) return known
    const handle = driver.kernel(module, symbol)
    handles.set(symbol, handle)
    made()
    return handle
  }
  return {
    find: (image, symbol) => driver.kernel(moduleOf(image).module, symbol),
    load(kernels, modules) {
      const made = new Map<number, CudaKernel>()
      for (const { image, kernels: numbers, early: waits } of modules) {
        const module = moduleOf(image)
        for (const i of numbers) {
          const { name, symbol = "", bindings, threads, sharedBytes = 0, early: asked = false } = kernels[i]!
          const handle = handleOf(module, symbol)
          if (sharedBytes > freeSharedBytes) driver.allowShared(handle, sharedBytes)
          made.set(i, { name, handle, bindings: bindings.length, threads, sharedBytes, early: early && waits && asked })
        }
      }
      return kernels.map((k, i) => made.get(i) ?? raise(k))
    },
    free() {
      for (const { module } of loaded.values()) giveBack(() => driver.unloadModule(module))
      loaded.clear()
    },
  }
}
