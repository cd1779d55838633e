/**
 * Subgroup matrices of WGSL: how their loads and stores are spelled, and the shape that kernels are made of. The compiler prints by this table, and
 * the device tests what it prints.
 *
 *   { load: a 16 × 16 of f16 at &tile[o], rows 64 apart }
 *   template   subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile, o, 64)
 *   argument   subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>>(&tile, o, false, 64)
 *
 * Source: the proposal of subgroup matrices for WebGPU, a draft, as Dawn has it behind `chromium-experimental-subgroup-matrix`.
 */

/** How loads and stores of matrices are spelled: the proposal says whether rows or columns follow one another in a template, and did in an argument. */
export type MatrixSpelling = "template" | "argument"

/** What came of asking a device for them. */
export interface MatrixSupport {
  /** Whether the device was opened to use them. */
  readonly asked: boolean
  /** What the adapter multiplies, such as `f16 → f32 16 × 16 × 16`; none where it was not asked, and Dawn hides the feature. */
  readonly offered: readonly string[]
  /** How the device takes them; undefined where they are not used. */
  readonly spelling?: MatrixSpelling
  /** Why they were asked for and are not used. */
  readonly refused?: string
}

export interface MatrixAccess {
  readonly array: string
  readonly offset: string
  readonly stride: string
  /** Whether columns follow one another. */
  readonly byColumns: boolean
}

interface Spelling {
  readonly load: (type: string, access: MatrixAccess) => string
  readonly store: (value: string, access: MatrixAccess) => string
}

const order = ({ byColumns }: MatrixAccess) => (byColumns ? "col_major" : "row_major")

/** The newer one first. */
export const matrixSpellings: Readonly<Record<MatrixSpelling, Spelling>> = {
  template: {
    load: (type, at) => `subgroupMatrixLoad<${type}, ${order(at)}>(&${at.array}, ${at.offset}, ${at.stride})`,
    store: (value, at) => `subgroupMatrixStore<${order(at)}>(&${at.array}, ${at.offset}, ${value}, ${at.stride})`,
  },
  argument: {
    load: (type, at) => `subgroupMatrixLoad<${type}>(&${at.array}, ${at.offset}, ${at.byColumns}, ${at.stride})`,
    store: (value, at) => `subgroupMatrixStore(&${at.array}, ${at.offset}, ${value}, ${at.byColumns}, ${at.stride})`,
  },
}

/** What a text with matrices has to enable. */
export const matrixDirectives = [
  "enable subgroups;",
  "enable f16;",
  "enable chromium_experimental_subgroup_matrix;",
  "requires subgroup_id;",
]

/** Rows and columns of a product that kernels are made of, elements that it folds, and lanes of the subgroups that multiply: f16, with sums in f32. */
export const matrixShape = { m: 16, n: 16, k: 16, lanes: 32 } as const
