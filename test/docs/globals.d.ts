// What the documentation's code blocks may use without importing it: shorter blocks, and every name is still checked.
import type * as NestCommon from '@nestjs/common';
import type * as NestAxios from '@nestjs/axios';
import type * as NestConfig from '@nestjs/config';
import type * as NestTesting from '@nestjs/testing';
import type * as Rxjs from 'rxjs';
import type * as AxiosModule from 'axios';
import type * as Lib from 'nestjs-oauth-client';
import type * as Partners from 'nestjs-oauth-client/partners';
import type * as TestKit from 'nestjs-oauth-client/testing';

declare global {
  const Controller: typeof NestCommon.Controller;
  const Get: typeof NestCommon.Get;
  const Injectable: typeof NestCommon.Injectable;
  const Module: typeof NestCommon.Module;
  const Param: typeof NestCommon.Param;
  const UnauthorizedException: typeof NestCommon.UnauthorizedException;
  type ExecutionContext = NestCommon.ExecutionContext;
  type HttpService = NestAxios.HttpService;
  const HttpService: typeof NestAxios.HttpService;
  const ConfigModule: typeof NestConfig.ConfigModule;
  type ConfigService = NestConfig.ConfigService;
  const ConfigService: typeof NestConfig.ConfigService;
  const Test: typeof NestTesting.Test;
  const map: typeof Rxjs.map;
  type Observable<T> = Rxjs.Observable<T>;
  const of: typeof Rxjs.of;
  const firstValueFrom: typeof Rxjs.firstValueFrom;
  const lastValueFrom: typeof Rxjs.lastValueFrom;
  const axios: typeof AxiosModule.default;

  const InjectOAuthClient: typeof Lib.InjectOAuthClient;
  const InjectOAuthFetch: typeof Lib.InjectOAuthFetch;
  const InjectOAuthHttp: typeof Lib.InjectOAuthHttp;
  const OAuthClientModule: typeof Lib.OAuthClientModule;
  const OAuthToken: typeof Lib.OAuthToken;
  const UseOAuthClient: typeof Lib.UseOAuthClient;
  const getOAuthClientToken: typeof Lib.getOAuthClientToken;
  const getOAuthHttpToken: typeof Lib.getOAuthHttpToken;
  type AccessToken = Lib.AccessToken;
  type OAuthClientOptionsFactory = Lib.OAuthClientOptionsFactory;
  type OAuthAxiosInterceptor = Lib.OAuthAxiosInterceptor;
  const OAuthAxiosInterceptor: typeof Lib.OAuthAxiosInterceptor;
  type OAuthClient = Lib.OAuthClient;
  const OAuthClient: typeof Lib.OAuthClient;
  type OAuthTokenService = Lib.OAuthTokenService;
  const OAuthTokenService: typeof Lib.OAuthTokenService;
  const OAuthClientError: typeof Lib.OAuthClientError;
  const buoy: typeof Partners.buoy;
  const honeybee: typeof Partners.honeybee;
  const FakeAuthorizationServer: typeof TestKit.FakeAuthorizationServer;

  /** The application that the blocks belong to. */
  class AppModule {}
  class TriageService {
    queries(): Rxjs.Observable<unknown>;
  }
  const clientId: string;
  const clientSecret: string;
  const headers: Record<string, string>;
  const it: (name: string, run: () => Promise<void>) => void;
  const expect: (value: unknown) => {
    toBe(expected: unknown): void;
    toEqual(expected: unknown): void;
    toHaveLength(length: number): void;
    readonly rejects: { toThrow(message: string): Promise<void> };
  };
  function fetchToken(): Promise<string>;
  function tenantOf(context: ExecutionContext): string;
  function organisationOf(context: ExecutionContext): string;
  function toHttpException(error: unknown): unknown;
  class AccountsModule {}
  class LabAccounts {
    findOne(
      organisation: string,
    ): Promise<{ clientId: string; clientSecret: string; apiURL: string } | undefined>;
  }
  /** Of a client that is generated from an OpenAPI document. */
  interface paths {
    '/notes/{id}': {
      put: {
        parameters: { path: { id: string } };
        requestBody: { content: { 'application/json': { text: string } } };
        responses: { 200: { content: { 'application/json': { method: string; body: { text: string } } } } };
      };
    };
  }
  function accountOf(tenant: string): Promise<Lib.OAuthClientOptions | undefined>;

  /** Members that a block may reach through `this`. */
  interface DocumentedClass {
    readonly tokens: OAuthTokenService;
    readonly buoy: HttpService;
    readonly http: HttpService;
    readonly fetch: typeof globalThis.fetch;
    readonly oauthAxiosInterceptor: OAuthAxiosInterceptor;
    count(type: string): void;
  }
}
