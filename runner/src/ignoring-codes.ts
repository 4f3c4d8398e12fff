/** What `act` answers, or `undefined` where the system refuses it with one of these codes. */
export function ignoringCodes<T>(codes: readonly string[], act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (codes.includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}
