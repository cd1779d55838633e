/** What `weft quantize` tells: sizes, divergence, what fell back, and the tensors that lost most. */
import { counted } from "../output.js"
import type { Divergence } from "./divergence.js"
import type { Target } from "./targets.js"
import type { FileType } from "./types.js"
import type { WrittenTensor } from "./write.js"

export interface Report {
  readonly from: string
  readonly file: string
  readonly to: Target
  /** Of the file, and of the checkpoint's weights. */
  readonly bytes: number
  readonly bytesBefore: number
  /** Bits of a weight, the scales among them. */
  readonly bitsPerWeight: number
  readonly seconds: number
  readonly tensors: readonly WrittenTensor[]
  /** Tensors whose rows are no whole number of blocks of what they would have been. */
  readonly fallbacks: readonly {
    readonly name: string
    readonly type: FileType
    readonly wanted: FileType
    readonly columns: number
  }[]
  readonly divergence: Divergence | undefined
}

/** Tensors that are listed: those with the largest errors. */
const listed = 10

export function reportText(report: Report): string {
  const { file, bytes, bytesBefore, bitsPerWeight, tensors, fallbacks, divergence, seconds } = report
  const megabytes = (n: number) => `${(n / 1e6).toFixed(1)} MB`
  const byType = new Map<FileType, number>()
  for (const { type, weights } of tensors) byType.set(type, (byType.get(type) ?? 0) + weights)
  const total = tensors.reduce((n, { weights }) => n + weights, 0)
  const shares = [...byType].map(([type, weights]) => `${type} ${((100 * weights) / total).toFixed(1)} %`).join(", ")
  const lines = [
    `${file}: ${megabytes(bytes)} after ${megabytes(bytesBefore)}, ${bitsPerWeight.toFixed(2)} bits a weight, in ${seconds.toFixed(1)} s`,
    `weights: ${shares}`,
    ...(divergence === undefined ? [] : divergenceLines(divergence)),
    ...fallbackLines(fallbacks),
    "relative error, the largest first",
  ]
  const largest = [...tensors].sort((a, b) => b.error - a.error).slice(0, listed)
  const width = Math.max(...largest.map(({ name }) => name.length))
  const rows = largest.map(({ name, type, error }) => `  ${name.padEnd(width)}  ${type.padEnd(4)}  ${error.toFixed(5)}`)
  return `${[...lines, ...rows].join("\n")}\n`
}

function divergenceLines({ tokens, text, meanKl, agreement, device }: Divergence): readonly string[] {
  const kl = meanKl < 1e-3 ? meanKl.toExponential(2) : meanKl.toFixed(4)
  return [
    `divergence on ${counted(tokens, "token")} (text: ${text}; ${device})`,
    `  mean KL ${kl} nats, top token the same at ${(100 * agreement).toFixed(1)} %`,
  ]
}

function fallbackLines(fallbacks: Report["fallbacks"]): readonly string[] {
  if (fallbacks.length === 0) return []
  const rest = fallbacks.length - listed
  return [
    `${counted(fallbacks.length, "tensor")} in another type, for the rows are no whole number of blocks`,
    ...fallbacks
      .slice(0, listed)
      .map(({ name, type, wanted, columns }) => `  ${name}: rows of ${columns}, ${type} and not ${wanted}`),
    ...(rest > 0 ? [`  and ${rest} more`] : []),
  ]
}
