/**
 * The names of the clients, for the compiler to check. Empty, and any text is a name, until an application augments it.
 *
 * @example
 * ```ts
 * declare module 'nestjs-oauth-client' {
 *   interface OAuthClientNames {
 *     buoy: true;
 *   }
 * }
 * ```
 */
export interface OAuthClientNames {}

/** A client's name: one of {@link OAuthClientNames}, or any text while that is empty. */
export type OAuthClientName = [keyof OAuthClientNames] extends [never]
  ? string
  : Extract<keyof OAuthClientNames, string>;
