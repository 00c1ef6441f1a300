//! Layers that are one function each.
//!
//! With axum's `from_fn`, each layer boxes a clone of the inner service and its own future for each
//! request. Here the inner service keeps its type: a layer costs what its function does, and
//! several layers are one future.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// The inner service of a layer. It is always ready, and answers every request.
pub trait Inner:
    Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
    /// The answer of the inner service, which begins when this is polled.
    fn answer(mut self, request: Request) -> impl Future<Output = Response> + Send {
        async move { answered(self.call(request)).await }
    }
}

impl<S> Inner for S where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Unwraps an answer that can't fail.
pub async fn answered(future: impl Future<Output = Result<Response, Infallible>>) -> Response {
    future.await.unwrap_or_else(|never| match never {})
}

/// The layer that is `function`. It gets `state`, the request and the inner service, to call now or
/// later.
pub fn fn_layer<T, F>(state: T, function: F) -> FnLayer<T, F> {
    FnLayer { state, function }
}

/// Made by [`fn_layer()`].
#[derive(Clone)]
pub struct FnLayer<T, F> {
    state: T,
    function: F,
}

impl<S, T: Clone, F: Clone> Layer<S> for FnLayer<T, F> {
    type Service = FnService<S, T, F>;

    fn layer(&self, inner: S) -> Self::Service {
        FnService { inner, layer: self.clone() }
    }
}

/// A service within a layer.
#[derive(Clone)]
pub struct FnService<S, T, F> {
    inner: S,
    layer: FnLayer<T, F>,
}

impl<S, T, F, A> Service<Request> for FnService<S, T, F>
where
    S: Inner,
    T: Clone,
    F: Fn(T, Request, &mut S) -> A,
    A: Future<Output: IntoResponse>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<A>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Answering<A> {
        let FnLayer { state, function } = &self.layer;
        Answering { answer: function(state.clone(), request, &mut self.inner) }
    }
}

pin_project! {
    /// An answer, or the problem in its place.
    pub struct Answering<A> {
        #[pin]
        answer: A,
    }
}

impl<A: Future<Output: IntoResponse>> Future for Answering<A> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(ready!(self.project().answer.poll(context)).into_response()))
    }
}
