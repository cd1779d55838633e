export async function bench(_args: readonly string[]): Promise<number> {
  return 0
}
