/**
 * Fakes for an application's tests, and the contract that every token store must pass.
 *
 * @module nestjs-oauth-client/testing
 */

export { FakeAuthorizationServer } from './testing/fake-authorization-server.js';
export type { FakeAuthorizationServerOptions } from './testing/fake-options.js';
export type {
  FakeAnswer,
  FakeAnswerFunction,
  FakeFault,
  FakeResponse,
  RecordedRequest,
} from './testing/fake-answer.js';
export type { DemandedAssertion, DemandedTexts, FakeDemands } from './testing/fake-demands.js';
export { OAuthClientTestingModule } from './testing/oauth-client-testing.module.js';
export type { FixedAnswer, FixedClient, FixedRequest } from './testing/oauth-client-testing.module.js';
export { tokenStoreContract } from './testing/token-store-contract.js';
export type { DisposableTokenStore, TokenStoreContractOptions } from './testing/token-store-contract.js';
