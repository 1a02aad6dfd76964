/** Injects the partners' {@link Sandboxes}, which were started before the application. */
export const SANDBOXES = Symbol('sandboxes');
