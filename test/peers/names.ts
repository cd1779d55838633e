/** The programs of the comparison, each in a file of its name. */
export const names = ["matmul", "attention-16x4096", "attention-32x4096", "attention-32x16384"] as const
export type Name = (typeof names)[number]
