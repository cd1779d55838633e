/** Products on the card's matrix units: every table of every atom, sizes with rests on all sides, random ones. */
import fc from "fast-check"
import { expect, test } from "vitest"
import { fromBytes, toBytes } from "../../compiler/interpret/memory.js"
import { atoms } from "../../compiler/ir/fragments/atoms.js"
import { storageBytes } from "../../compiler/ir/loop.js"
import { cudaKernels } from "../../compiler/targets/emit.js"
import type { CudaDevice, CudaDeviceOptions } from "../../runtime/devices/cuda/device.js"
import { chosenCase, chosenShapes } from "../support/chosen-products.js"
import { fillShapes } from "../support/fills.js"
import {
  type Case,
  fillCase,
  oddShapes,
  productCase,
  productShapes,
  wrongFill,
  wrongProduct,
} from "../support/product-cases.js"

/** The same ones each time: their binaries were made where the compiler is. */
const random = fc.sample(productShapes, { seed: 7, numRuns: 40 })
const chosen = fc.sample(chosenShapes, { seed: 7, numRuns: 40 })

/** What each kernel leaves in y. */
async function resultsOf(device: CudaDevice, cases: readonly Case<unknown>[]): Promise<readonly ArrayLike<number>[]> {
  const { sharedBytes, multiprocessors } = device.facts
  const kernels = cases.map(({ kernel }, i) => ({ ...kernel, name: `product${i}` }))
  const compiled = await device.compile(cudaKernels({ sharedBytes, multiprocessors })(kernels, []), 0)
  const found: ArrayLike<number>[] = []
  for (const [i, { kernel, memories }] of cases.entries()) {
    const buffers = kernel.buffers.map(({ name }) => {
      const bytes = toBytes(memories.get(name)!)
      const made = device.allocate(Math.ceil(bytes.length / 16) * 16, name)
      const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4)
      whole.set(bytes)
      device.upload(made, 0, whole)
      return made
    })
    device.submit([device.record([{ kernel: compiled[i]!, buffers, groups: kernel.groups }])], new Int32Array(0))
    const { storage, size } = memories.get("y")!
    const bytes = size * storageBytes(storage as "f32")
    const y = await device.read(buffers.at(-1)!, 0, Math.ceil(bytes / 4) * 4)
    found.push(fromBytes(storage as "f32", y.slice(0, bytes)).values)
    for (const b of buffers) b.destroy()
  }
  return found
}

/** Cases of atoms that the GPU has: others are named in the title of no test. */
export function products(open: (options?: CudaDeviceOptions) => Promise<CudaDevice>): void {
  const isThere = (device: CudaDevice) => {
    const capability = Number(/\d+/.exec(device.facts.arch)![0])
    return ({ shape }: { readonly shape: { readonly atom: string } }) => {
      const { arch, only } = atoms.get(shape.atom)!
      return arch === capability || (arch < capability && only !== true)
    }
  }
  test("fragments on cuda hold what their layouts say", async () => {
    const device = await open()
    const cases = fillShapes.map(fillCase).filter(isThere(device))
    const found = await resultsOf(device, cases)
    console.log(`${cases.length} fills`)
    expect(cases.flatMap((c, i) => wrongFill(c, found[i]))).toEqual([])
    device.dispose()
  })

  test("products on cuda are plain sums, whatever their sizes", async () => {
    const device = await open()
    const cases = [...oddShapes, ...random].map((shape, i) => productCase(shape, i + 1, true)).filter(isThere(device))
    const found = await resultsOf(device, cases)
    console.log(`${cases.length} products`)
    expect(cases.flatMap((c, i) => wrongProduct(c, found[i]))).toEqual([])
    device.dispose()
  })

  test("and so are those that rules schedule for matrix units", async () => {
    const device = await open()
    const cases = chosen.map(chosenCase).filter((c) => c.shape.atom === "" || isThere(device)(c))
    const found = await resultsOf(device, cases)
    console.log(`${cases.length} products as they are compiled`)
    expect(cases.flatMap((c, i) => wrongProduct(c, found[i]))).toEqual([])
    device.dispose()
  })
}
