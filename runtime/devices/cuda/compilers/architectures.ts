/**
 * Architectures of NVIDIA's GPUs by the names of its compilers, and what runs where.
 *
 *     sm_90        a binary for 9.0, and for 9.x with x ≥ 0; as PTX for whatever came later, too
 *     sm_90a       for 9.0 alone: its own instructions occur
 *     sm_100f      for its family: 10.x
 */

export interface Architecture {
  /** 10 · major + minor of the compute capability. */
  readonly capability: number
  /** `a`: for this one alone; `f`: for its family. */
  readonly suffix: "" | "a" | "f"
}

/** Undefined for what is no name of an architecture. */
export function architectureOf(name: string): Architecture | undefined {
  const [, digits, suffix] = /^sm_([1-9]\d{1,2})([af]?)$/.exec(name) ?? []
  return digits === undefined ? undefined : { capability: Number(digits), suffix: suffix as Architecture["suffix"] }
}

/** What kernels are compiled for where they are to run on a GPU of this compute capability: with its own instructions where the compiler uses some. */
export const archOf = (major: number, minor: number): string => `sm_${major}${minor}${major === 9 ? "a" : ""}`

/** The first capability whose kernels can wait for the launches before them themselves (griddepcontrol). */
export const earlyFrom = 90

export interface Binary {
  readonly arch: string
  readonly kind: "cubin" | "ptx"
}

/**
 * How well a binary suits a GPU, undefined where it does not run: exact ones before those of a lower minor, PTX, which the driver compiles, last.
 *
 * @param arch the GPU's, with or without a suffix
 */
export function suitability({ arch: made, kind }: Binary, arch: string): number | undefined {
  const [its, gpu] = [architectureOf(made), architectureOf(arch)]
  if (its === undefined || gpu === undefined || its.capability > gpu.capability) return undefined
  const exact = its.capability === gpu.capability
  const sameMajor = Math.floor(its.capability / 10) === Math.floor(gpu.capability / 10)
  if (its.suffix === "a" ? !exact : kind === "cubin" || its.suffix === "f" ? !sameMajor : false) return undefined
  return (kind === "cubin" ? 10_000 : 0) + 10 * its.capability + (its.suffix === "" ? 0 : 1)
}
