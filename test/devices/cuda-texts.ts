/** Kernels as text, and compilers that do not look at it. */
import type { ArtifactKernel } from "../../runtime/artifact.js"
import type { Compiler } from "../../runtime/devices/cuda/compilers/compiler.js"

const kernel = (symbol: string, source: string): ArtifactKernel => ({
  name: symbol,
  symbol,
  source,
  bindings: [{ access: "readwrite" }],
  threads: 64,
  sharedBytes: 0,
  scratch: 0,
  span: { file: "model.ts", line: 3, column: 7 },
})
export const doubling = (symbol: string, value = "twice(x[threadIdx.x])") =>
  kernel(
    symbol,
    `extern "C" __global__ void __launch_bounds__(64) ${symbol}(float* x, const int* symbols) { x[threadIdx.x] = ${value}; }`,
  )
export const prelude = "static __device__ float twice(float v) { return v + v; }"

/** A compiler that counts what it is given. */
export function counting(): Compiler & { readonly texts: string[] } {
  const texts: string[] = []
  return {
    texts,
    description: "a counting compiler",
    identity: "1",
    compile: async (text, { arch }) => {
      texts.push(text)
      return { image: new TextEncoder().encode(`${arch}\n${text}`), log: "" }
    },
  }
}

export const artifact = { prelude, kernels: [doubling("a"), doubling("b")] }
export const nowhere = [{ name: "nvrtc", looked: ["/usr/lib64/libnvrtc.so.13"] }] as const
